import { parseBudget } from 'keysieve';
import { createHeadBench } from 'keysieve/conformance';
import * as api from 'keysieve/extend';
import { describe, expect, it } from 'vitest';
import { createTwilight } from './twilight.ts';

const [HEAD_DIM, KEYS] = [32, 256];

/**
 * Keys of given shares of the softmax for two heads: head h looks at dimension h alone. Where nothing is said, the keys
 * have what is left in equal parts.
 */
function benchOf(shares: readonly Readonly<Record<number, number>>[]) {
  const keys = new Float32Array(KEYS * HEAD_DIM);
  for (const [head, given] of shares.entries()) {
    const left = 1 - Object.values(given).reduce((a, b) => a + b, 0);
    for (let j = 0; j < KEYS; j++) keys[j * HEAD_DIM + head] = Math.log(given[j] ?? left / KEYS) + Math.log(KEYS);
  }
  const bench = createHeadBench({ headDim: HEAD_DIM, keys, values: keys, encodings: ['int4'] });
  const rows = new Float32Array(shares.length * HEAD_DIM);
  for (let head = 0; head < shares.length; head++) rows[head * HEAD_DIM + head] = Math.sqrt(HEAD_DIM);
  return (budget: string, n = KEYS) => {
    const query = bench.query(rows, n);
    const selection = createTwilight(api).select(query, parseBudget(budget));
    const between = [...bench.selectedPositions(query, selection.count)].filter((j) => j >= 4 && j < n - 32);
    return { ...selection, between };
  };
}

describe('twilight', () => {
  it('takes as many keys as reach the share p, whatever the head: few where it is peaked, all where it is flat', () => {
    const peaked = benchOf([{ 70: 0.6, 130: 0.3, 20: 0.08 }]);
    expect(peaked('mass:0.7').between).toEqual([70]);
    expect(peaked('mass:0.2').between).toEqual([70, 130]);
    expect(peaked('mass:0.05').between).toEqual([20, 70, 130]);
    const share = (j: number) => (1 + ((37 * j) % KEYS) / KEYS) / (1.5 * KEYS);
    const flat = benchOf([Object.fromEntries(Array.from({ length: KEYS }, (_, j) => [j, share(j)]))]);
    expect(flat('mass:0.05').count).toBeGreaterThan(0.9 * KEYS);
    expect(flat('mass:0.7').count).toBeLessThan(0.5 * KEYS);
  });

  it('takes for a group what any of its heads needs', () => {
    const select = benchOf([{ 70: 0.9 }, { 130: 0.6, 40: 0.35 }]);
    expect(select('mass:0.2').between).toEqual([40, 70, 130]);
    const { count, between } = select('fixed:66');
    expect(count).toBe(66);
    expect(between).toEqual(expect.arrayContaining([40, 70, 130]));
  });

  it('reads the codes of the keys, the centres of the pages, and the exact keys of the open page', () => {
    const select = benchOf([{ 70: 0.9 }]);
    // 32 numbers of 4 bits and a step; 32 of 8 bits, a step and what lies with it; float16.
    expect(select('mass:0.2').bytesScanned).toBe(256 * 18 + 4 * 36);
    expect(select('mass:0.2', 200).bytesScanned).toBe(192 * 18 + 3 * 36 + 8 * 64);
  });
});
