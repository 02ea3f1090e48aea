/** Every claim on rows of attention in which it is known whether it holds. */
import { describe, expect, it } from 'vitest';
import { type PlantedRow, plantedStudy } from '../../test/planted-source.ts';
import { adaptiveBudget } from './adaptive-budget.ts';
import { capturedMass } from './captured-mass.ts';
import { type Claim, holdsForMostHeads, verdictOf } from './claim.ts';
import { collapse } from './collapse.ts';
import { constantSupport } from './constant-support.ts';
import { entropyGrowth } from './entropy.ts';
import { flatHeads } from './flat-heads.ts';
import { CLAIMS } from './index.ts';
import { logError } from './log-error.ts';
import { powerError } from './power-error.ts';

const many = (row: PlantedRow, count = 10): PlantedRow[] => new Array(count).fill(row);
const judge = (claim: Claim, gaussian: PlantedRow, heads: PlantedRow[] = []) =>
  claim.judge(plantedStudy(gaussian, heads));

/** Errors with n^C keys fall as n^(-C / 2); with any k of n they are sqrt(1 / k). */
const FALLING: PlantedRow = { error: (k) => Math.sqrt(1 / k) };
/** With n^C keys errors rise as n^(1 - C) / 10 ... and so they do with log n keys. */
const RISING: PlantedRow = { error: (k, n) => Math.sqrt(n / k) / 1000 };

describe('power-error', () => {
  it('holds where the error of n^C keys falls for every C', () => {
    const { holds, results, findings } = judge(powerError, FALLING, many(FALLING));
    expect(holds).toBe('yes');
    // Two spreads by two quantities of the softmax, and by two kinds of values by two quantities of the output.
    expect(results.filter(({ on }) => on.startsWith('spread'))).toHaveLength(12);
    expect(findings.at(-1)).toContain('C = 0.5: falls in 10, rises in 0');
    const { exponents } = (results[0] as (typeof results)[number]).figures;
    const halves = (exponents as { C: number; value: number }[]).map(({ C, value }) => value / -C);
    expect(halves).toEqual(new Array(4).fill(expect.closeTo(0.5, 1)));
  });

  it('does not hold where it rises, and holds in part where that is so on captures only', () => {
    expect(judge(powerError, RISING).holds).toBe('no');
    expect(judge(powerError, FALLING, many(RISING)).holds).toBe('in part');
  });

  it('holds on captures if it does in nine heads of ten', () => {
    expect(judge(powerError, FALLING, [...many(FALLING, 9), RISING]).holds).toBe('yes');
    expect(judge(powerError, FALLING, [...many(FALLING, 8), RISING, RISING]).holds).toBe('in part');
  });
});

describe('log-error', () => {
  it('holds where log n keys leave an error of order 1', () => {
    const { holds, findings } = judge(logError, { error: () => 0.3 }, many({ error: () => 0.3 }));
    expect(holds).toBe('yes');
    expect(findings[0]).toContain('an error remains in 12 of 12 readings');
    expect(findings[1]).toContain('it remains in 10 of 10; the median is 0.30 at the shortest length and 0.30');
  });

  it('does not hold where the error vanishes with n', () => {
    const vanishing: PlantedRow = { error: (_, n) => 10 / n };
    expect(judge(logError, vanishing, many(vanishing)).holds).toBe('no');
  });
});

describe('captured-mass', () => {
  it('holds where n^C keys hold more and more, on heads too', () => {
    const { holds, findings } = judge(capturedMass, FALLING, many(FALLING));
    expect(holds).toBe('yes');
    expect(findings[0]).toContain('rises with n for C = none');
    expect(findings.at(-1)).toContain('the median grows from 2.00 to 2.00 nats, and it rises in 0 of 10 heads');
  });

  it('does not hold where they hold less and less', () => {
    expect(judge(capturedMass, RISING, many(RISING)).holds).toBe('no');
  });
});

describe('constant-support', () => {
  it('holds where the needed keys do not grow', () => {
    expect(judge(constantSupport, {}, many({})).holds).toBe('yes');
  });

  it('does not hold where they grow as a power, however small', () => {
    const growing: PlantedRow = { needed: (n) => 10 * n ** 0.1 };
    const { holds, findings } = judge(constantSupport, growing, many(growing));
    expect(holds).toBe('no');
    expect(findings[0]).toContain('they rise in 10 of 10 heads, from 17 to 26');
  });
});

describe('flat-heads', () => {
  it('holds where all heads need a small part of the context that grows more slowly', () => {
    const sparse: PlantedRow = { needed: (n) => 4 * n ** 0.5 };
    const { holds, findings } = judge(flatHeads, sparse, many(sparse));
    expect(holds).toBe('yes');
    expect(findings[0]).toContain('C is 0.500 ± 0.000, and 3.1 % of the longest context');
  });

  it('does not hold where keys grow as the context, or are a tenth of it', () => {
    expect(judge(flatHeads, { needed: (n) => 0.01 * n }).holds).toBe('no');
    expect(judge(flatHeads, { needed: (n) => 60 * n ** 0.5 }).holds).toBe('no');
  });
});

describe('collapse', () => {
  it('holds where the entries above the threshold stay few', () => {
    expect(judge(collapse, { above: () => 7 }, many({ above: (n) => 100 / n })).holds).toBe('yes');
  });

  it('does not hold where their number rises', () => {
    expect(judge(collapse, { above: (n) => Math.log(n) }, many({ above: (n) => Math.sqrt(n) })).holds).toBe('no');
  });
});

describe('entropy', () => {
  it('holds where the entropy grows as .31 ln n in the heads', () => {
    const scatter = [-0.05, 0.03, 0.02, -0.02, 0.01, 0.04, -0.03, 0.02, -0.04, 0.02];
    const heads = scatter.map((d): PlantedRow => ({ entropy: (n) => (0.31 + d) * Math.log(n) }));
    const { results } = judge(entropyGrowth, { entropy: Math.log }, heads);
    expect(results.map(({ on, holds }) => [on.split(' ')[0], holds])).toEqual([
      ['spread', false],
      ['spread', false],
      ['10', true],
    ]);
  });

  it('does not hold where the mean is right and the heads are not', () => {
    const heads = [0, 0.62].flatMap((slope) => many({ entropy: (n) => slope * Math.log(n) }, 5));
    const { results, findings } = judge(entropyGrowth, { entropy: Math.log }, heads);
    expect(results.at(-1)?.holds).toBe(false);
    expect(findings.at(-1)).toContain('0 of 10 are within 0.1 of 0.31');
  });
});

describe('adaptive-budget', () => {
  it('holds for cost where needed keys grow, and not where they do not', () => {
    const growing: PlantedRow = { error: (k, n) => 0.1 * Math.sqrt((2 * n ** 0.5) / k) };
    const part = (row: PlantedRow, name: string) =>
      judge(adaptiveBudget, row).results.filter(({ on }) => on.endsWith(`: ${name}`));
    expect(part(growing, 'same error').every(({ holds }) => holds)).toBe(true);
    expect(part(growing, 'same cost, worst length').every(({ holds }) => holds)).toBe(true);
    // At short lengths a growing budget has fewer keys than a fixed one of the same mean.
    expect(part(growing, 'same cost, every length').some(({ holds }) => holds)).toBe(false);
    expect(part(FALLING, 'same error').some(({ holds }) => holds)).toBe(false);
  });
});

describe('claims', () => {
  it('have names that are files, and say what decides before anything is tried', () => {
    expect(new Set(CLAIMS.map(({ name }) => name)).size).toBe(CLAIMS.length);
    for (const { name, title, statement, criterion } of CLAIMS) {
      expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect([title, statement, criterion].every((text) => text.length > 20)).toBe(true);
    }
  });

  it('hold, do not hold, or hold in part', () => {
    const result = (holds: boolean) => ({ on: '', quantity: '', figures: {}, holds });
    expect(verdictOf([result(true), result(true)])).toBe('yes');
    expect(verdictOf([result(true), result(false)])).toBe('in part');
    expect(verdictOf([result(false)])).toBe('no');
    expect(holdsForMostHeads([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], (x) => x < 10)).toBe(true);
    expect(holdsForMostHeads([1, 2], (x) => x < 2)).toBe(false);
  });
});
