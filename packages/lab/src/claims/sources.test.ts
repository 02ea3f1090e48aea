import { describe, expect, it } from 'vitest';
import type { CapturedHead } from '../captures/captured-head.ts';
import { gaussianKeys } from '../numerics/gaussian.ts';
import { createRandom } from '../numerics/random.ts';
import { plotCurves } from '../plot/curves.ts';
import { captureSources } from './capture-source.ts';
import { gaussianShare } from './captured-mass.ts';
import { claimsDocument } from './document.ts';
import { gaussianSources } from './gaussian-source.ts';
import { CLAIMS } from './index.ts';
import { meansOf, type Study, valueAt } from './source.ts';
import { claimsJson } from './study.ts';

const quiet = { signal: new AbortController().signal, onProgress: () => {} };
const small = { seed: 5, lengths: [64, 256, 1024, 4096], spreads: [1, 2], contexts: 4, queries: 3, ...quiet };

function headOf(n: number, lastQueries: number): CapturedHead {
  const random = createRandom(9);
  const numbers = (count: number) => Float32Array.from({ length: count }, () => 2 * random.uniform() - 1);
  const [keys, values, queries] = [numbers(n * 8), numbers(n * 8), numbers(2 * lastQueries * 8)];
  return { name: 'l1.g0', headDim: 8, n, group: 2, lastQueries, keys, values, queries };
}

describe('Gaussian inputs', () => {
  it('are the same for the same seed, and others for another', async () => {
    const options = { ...small, lengths: [64, 128], contexts: 2, queries: 1 };
    const entropies = async (seed: number) =>
      (await gaussianSources({ ...options, seed })).map((source) => meansOf(source).map(({ entropy }) => entropy));
    expect(await entropies(1)).toEqual(await entropies(1));
    expect(await entropies(1)).not.toEqual(await entropies(2));
  });

  it('have the spread that is asked for, and need the keys that theory says', async () => {
    const sources = await gaussianSources(small);
    expect(sources.map(({ name }) => name)).toEqual([
      'spread 1, values independent',
      'spread 1, values of the tokens',
      'spread 2, values independent',
      'spread 2, values of the tokens',
    ]);
    const last = meansOf(sources[0] as (typeof sources)[number]).at(-1);
    expect(last?.n).toBe(4096);
    // The norm of a query varies by a tenth.
    expect(last?.spread).toBeGreaterThan(0.7);
    expect(last?.spread).toBeLessThan(1.3);
    const theory = gaussianKeys(4096, last?.spread ?? 0, 0.1);
    expect((last?.needed[0] ?? 0) / theory).toBeGreaterThan(0.9);
    expect((last?.needed[0] ?? 0) / theory).toBeLessThan(1.1);
    const share = valueAt(last as never, 'tailMass', 64);
    expect(Math.abs(share - gaussianShare(4096, 0.5, last?.spread ?? 0))).toBeLessThan(0.05);
  });

  it('stop when they are told to', async () => {
    await expect(gaussianSources({ ...small, signal: AbortSignal.abort() })).rejects.toThrow();
  });
});

describe('captured heads', () => {
  it('give contexts of the first keys and the most recent ones', async () => {
    const head = headOf(200, 8);
    // The first keys are those that all queries attend to.
    for (let key = 0; key < 4; key++) head.keys.fill(20, key * 8, key * 8 + 8);
    head.queries.fill(1);
    const sources = await captureSources({ heads: [head], minLength: 40, stride: 1, ...quiet });
    expect(sources.map(({ name }) => name)).toEqual(['l1.g0 head 0, 200 keys', 'l1.g0 head 1, 200 keys']);
    const [source] = sources;
    expect(source?.lengths).toEqual([48, 96, 193]);
    expect(source?.repetitions).toHaveLength(8);
    for (const { n, needed, ks } of meansOf(source as (typeof sources)[number])) {
      expect(ks.at(-1)).toBe(n);
      expect(needed).toEqual([4, 4, 4]);
    }
  });

  it('count fewer queries as fewer repetitions', async () => {
    const [source] = await captureSources({ heads: [headOf(100, 6)], minLength: 40, stride: 2, ...quiet });
    expect(source?.repetitions).toHaveLength(3);
  });
});

describe('the claims', () => {
  it('are all judged, in JSON and in a document whose figures are there', async () => {
    const gaussian = await gaussianSources(small);
    const heads = [headOf(300, 8), { ...headOf(600, 8), name: 'l2.g0' }];
    const captures = await captureSources({ heads, minLength: 60, stride: 1, ...quiet });
    for (const study of [
      { gaussian, captures },
      { gaussian, captures: [] },
    ] satisfies Study[]) {
      const judged = CLAIMS.map((claim) => ({ claim, outcome: claim.judge(study) }));
      for (const { claim, outcome } of judged) {
        expect(outcome.results.length, claim.name).toBeGreaterThan(0);
        expect(outcome.findings.join(' '), claim.name).not.toMatch(/NaN|undefined|Infinity/);
        for (const figure of outcome.figures) expect(plotCurves(figure), figure.name).toMatch(/^<svg[\s\S]*<\/svg>\n$/);
      }
      const setting = {
        seed: 5,
        gaussian: small,
        captures: { files: ['a/b.safetensors'], stride: 1, heads: study.captures.length },
      };
      const text = claimsDocument({ setting, judged }, 'claims');
      expect(text).not.toMatch(/NaN|undefined|Infinity/);
      const figures = judged.flatMap(({ outcome }) => outcome.figures.map(({ name }) => name));
      expect(new Set(figures).size).toBe(figures.length);
      for (const name of figures) expect(text).toContain(`(claims/${name}.svg)`);
      const json = JSON.stringify(claimsJson({ setting, judged }));
      expect(JSON.parse(json).claims).toHaveLength(CLAIMS.length);
    }
  });
});
