import { describe, expect, it } from 'vitest';
import { plantedStudy } from '../../test/planted-source.ts';
import { claimsDocument } from './document.ts';
import { CLAIMS } from './index.ts';
import { claimsJson, type StudySetting } from './study.ts';

const setting: StudySetting = {
  seed: 3,
  gaussian: { lengths: [256, 1024], spreads: [1, 2], contexts: 4, queries: 2 },
  captures: { files: ['folder/a.safetensors'], stride: 4, heads: 10 },
};
const study = plantedStudy({}, new Array(10).fill({}));
const judged = CLAIMS.map((claim) => ({ claim, outcome: claim.judge(study) }));

describe('the document about claims', () => {
  const text = claimsDocument({ setting, judged }, 'figures');

  it('sums up every claim, with a link to its section', () => {
    for (const { claim, outcome } of judged) {
      const anchor = /\]\(#([^)]*)\)/.exec(
        text.split('\n').find((line) => line.startsWith(`| [${claim.title}]`)) ?? '',
      );
      expect(anchor?.[1], claim.title).toMatch(/^[\p{L}\p{N}-]+$/u);
      expect(text).toContain(`## ${claim.title}\n\n**Claim.** ${claim.statement}`);
      expect(text).toContain(
        `(${outcome.results.filter(({ holds }) => holds).length} of ${outcome.results.length} results)`,
      );
    }
  });

  it('says what was run', () => {
    expect(text).toContain('the seed is 3');
    expect(text).toContain('10 query heads of a.safetensors, every 4th of their last queries');
    const without = claimsDocument(
      { setting: { ...setting, captures: { ...setting.captures, heads: 0 } }, judged },
      'f',
    );
    expect(without).toContain('**Captures**: none were given.');
  });

  it('has tables whose rows are as wide as their heads', () => {
    const tables = text.split(/\n{2,}/).filter((block) => block.startsWith('|'));
    expect(tables.length).toBeGreaterThan(3);
    for (const table of tables) {
      const widths = table.split('\n').map((line) => line.split(/(?<!\\)\|/).length);
      expect(new Set(widths).size, table.slice(0, 60)).toBe(1);
    }
  });
});

describe('the claims as JSON', () => {
  it('have every claim with its results, and no figures or tables', () => {
    const { claims } = JSON.parse(JSON.stringify(claimsJson({ setting, judged })));
    expect(claims).toHaveLength(CLAIMS.length);
    expect(Object.keys(claims[0])).toEqual(['name', 'title', 'statement', 'criterion', 'holds', 'findings', 'results']);
  });
});
