/** The draw of a sample, its split, and attention with given weights. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createRig,
  type HeadNumbers,
  headOf,
  type KernelRig,
  type KernelsUnderTest,
  randomHead,
} from '../../../test/kernel-rig.ts';
import { distance } from '../../../test/plain-attention.ts';
import { createRandom } from '../../../test/random.ts';
import { placeScan, toScanUnits } from '../../../test/scans.ts';
import { DRAW_FRACTION_BITS, DRAW_PERIOD, DRAW_STRIDE } from '../constants.ts';
import { DRAW_TABLE_BYTES, drawNumber, drawTables, writeDrawTables } from '../draw-tables.ts';
import { scratchBytes, stateBytes, stateOutputs } from '../kernels.ts';
import { rotatedDim } from '../layout.ts';
import { type DrawPlan, quantizeScratchBytes, scanStride } from '../quantized-kernels.ts';
import { int4Row, quantizedKey } from '../quantized-rows.ts';
import { inverseRotate } from '../rotation.ts';

function draw(rig: KernelRig, pooled: Int16Array, plan: DrawPlan, fractionBits: number) {
  const { n } = plan;
  const [indices, probabilities, threshold] = [rig.allocate((n + 4) * 4), rig.allocate((n + 4) * 4), rig.allocate(4)];
  // What lies behind the keys must not be counted.
  const padded = new Int16Array(n + 8).fill(32_767);
  padded.set(pooled);
  const tables = rig.allocate(DRAW_TABLE_BYTES);
  writeDrawTables(rig.views().u32.buffer, tables);
  const count = rig.kernels.drawKeys({
    plan,
    proposals: placeScan(rig, padded),
    fractionBits,
    tables,
    indices,
    logProbabilities: probabilities,
    threshold,
    keyBlocks: rig.allocate((n / 8 + 2) * 8),
    scratch: rig.allocate(16_384),
  });
  return {
    positions: rig.ints(indices, count),
    logs: rig.floats(probabilities, count),
    threshold: rig.floats(threshold, 1)[0] as number,
  };
}

/** Numbers that are spread by some nats, and the binary digits that have room for them. */
const SCANS = [
  [1, 1, 7],
  [3, 5, 7],
  [8, 0, 7],
  [100, 1, 7],
  [3001, 4, 7],
  [3001, 30, 5],
  [500, 400, 3],
  [500, 100_000, -4],
] as const;

export function describeSamples(kernels: KernelsUnderTest): void {
  describe('scanScores', () => {
    it('rounds scores to the units of a scan, saturated, and leaves what lies behind each row', () => {
      const rig = createRig(kernels);
      const random = createRandom(5);
      for (const [n, spread, bits] of [
        [1, 1, 7],
        [8, 3, 7],
        [13, 100, 5],
        [67, 4000, 3],
        [130, 1e9, -4],
      ] as const) {
        const [rows, stride] = [3, n + 9];
        const scores = random.normals(rows * stride, spread);
        const scans = placeScan(rig, new Int16Array(rows * (stride + 2)).fill(99));
        const address = rig.allocate(scores.length * 4);
        rig.views().f32.set(scores, address / 4);
        rig.kernels.scanScores(address, stride, rows, n, bits, scans, stride + 2);
        for (let row = 0; row < rows; row++) {
          const expected = toScanUnits(scores.subarray(row * stride, row * stride + n), bits);
          const from = scans / 2 + row * (stride + 2);
          const found = rig.views().i16.subarray(from, from + stride + 2);
          // A score between two units may be rounded to either.
          for (let j = 0; j < n; j++) {
            expect(Math.abs((found[j] as number) - (expected[j] as number)), `${n} ${j}`).toBeLessThanOrEqual(1);
          }
          const nats = Array.from(found.subarray(0, n), (units) => (units * Math.LN2) / 2 ** bits);
          for (const [j, x] of nats.entries()) {
            if (Math.abs(found[j] as number) >= 32_767) continue;
            const score = scores[row * stride + j] as number;
            const unit = Math.LN2 / 2 ** bits;
            expect(Math.abs(x - score)).toBeLessThan(0.501 * unit + 1e-6 * Math.abs(score));
          }
          expect([...found.subarray(n)]).toEqual(new Array(stride + 2 - n).fill(99));
        }
      }
    });
  });

  describe('sumExactSquares', () => {
    it('sums the squared weights by what is certain of them and what is not', () => {
      const rig = createRig(kernels);
      const random = createRandom(6);
      for (const [count, shift] of [
        [1, 0],
        [7, 50],
        [64, -300],
        [131, 3],
      ] as const) {
        const [rows, stride] = [3, count + 5];
        const place = (numbers: Float32Array) => {
          const address = rig.allocate(numbers.length * 4 + 16);
          rig.views().f32.set(numbers, address / 4);
          return address;
        };
        const weights = random.normals(rows * stride, 4).map((x) => x + shift);
        const logs = random.normals(count).map((x, j) => (j % 3 === 1 ? 0 : -Math.abs(x) - 0.01));
        const squares = rig.allocate(rows * 8);
        rig.kernels.sumExactSquares(place(weights), stride, rows, count, place(logs), squares, rig.allocate(8));
        for (let row = 0; row < rows; row++) {
          const [variance, certain] = rig.floats(squares + 8 * row, 2) as unknown as [number, number];
          const rowWeights = weights.subarray(row * stride, row * stride + count);
          const max = Math.max(...rowWeights);
          const sum = (factor: (log: number) => number) =>
            rowWeights.reduce((all, x, j) => all + Math.exp(2 * (x - max)) * factor(logs[j] as number), 0);
          expect(certain).toBeCloseTo(Math.log(sum(Math.exp)) + 2 * max, 3);
          expect(variance).toBeCloseTo(Math.log(sum((log) => -Math.expm1(log))) + 2 * max, 3);
        }
      }
    });
  });

  describe('approximateLogSumExp', () => {
    it('is the sum of e^score to 4 %', () => {
      const rig = createRig(kernels);
      for (const [n, spread, fractionBits] of SCANS) {
        const scan = toScanUnits(createRandom(n + spread).normals(n, spread), fractionBits);
        const statistics = rig.allocate(8);
        rig.kernels.approximateLogSumExp(placeScan(rig, scan), n, fractionBits, statistics);
        const [max = 0, sum = 0] = rig.floats(statistics, 2);
        const scores = Float64Array.from(scan, (x) => x * Math.LN2 * 2 ** -fractionBits);
        const maxScore = scores.reduce((a, b) => Math.max(a, b));
        expect(Math.abs(max - maxScore)).toBeLessThanOrEqual(1e-6 * Math.abs(maxScore));
        const truth = scores.reduce((total, x) => total + Math.exp(x - maxScore), 0);
        expect(Math.abs(sum - truth)).toBeLessThanOrEqual(0.045 * truth);
      }
    });
  });

  describe('maxOverHeads', () => {
    it('gives the largest of the rows, tempered, and of what was there', () => {
      for (const [n, spread, fractionBits] of SCANS) {
        for (const rows of [1, 3, 5]) {
          const rig = createRig(kernels, 2 ** 20);
          const random = createRandom(n + rows);
          const stride = scanStride(n);
          const scans = toScanUnits(random.normals(rows * stride, spread), fractionBits);
          const offsets = random.normals(rows, spread / 2);
          const address = placeScan(rig, scans);
          const pooled = rig.allocate(stride * 2);
          const unit = Math.LN2 * 2 ** -fractionBits;
          const shareOf = (row: number, j: number) =>
            ((scans[row * stride + j] as number) * unit - (offsets[row] as number)) / unit;
          const edge = 32_767;
          const proposalExponent = 0.75;
          const expected = (rowCount: number, j: number) => {
            const shares = Array.from({ length: rowCount }, (_, row) => shareOf(row, j));
            return proposalExponent * Math.max(...shares.map((share) => Math.max(-edge, Math.min(edge, share))));
          };
          const first = Math.ceil(rows / 2);
          rig.kernels.maxOverHeads(
            address,
            stride,
            first,
            n,
            fractionBits,
            rig.place(offsets),
            proposalExponent,
            pooled,
            false,
          );
          const actual = () => rig.views().i16.slice(pooled / 2, pooled / 2 + n);
          for (const [j, share] of actual().entries()) expect(Math.abs(share - expected(first, j))).toBeLessThan(2);
          if (first === rows) continue;
          const [rest, offset] = [address + first * stride * 2, rig.place(offsets.subarray(first))];
          rig.kernels.maxOverHeads(rest, stride, rows - first, n, fractionBits, offset, proposalExponent, pooled, true);
          for (const [j, share] of actual().entries()) expect(Math.abs(share - expected(rows, j))).toBeLessThan(2);
        }
      }
    });
  });

  describe('maxScoresOverHeads', () => {
    it('gives the largest of the rows', () => {
      for (const n of [1, 3, 4, 65]) {
        for (const rows of [1, 3, 5]) {
          const rig = createRig(kernels, 2 ** 20);
          const random = createRandom(n + rows);
          const scores = random.normals(rows * (n + 3), 5);
          const offsets = random.normals(rows, 3);
          const pooled = rig.allocate(n * 4 + 4);
          rig.kernels.maxScoresOverHeads(rig.place(scores), n + 3, rows, n, rig.place(offsets), pooled);
          const truth = Array.from({ length: n }, (_, j) =>
            Math.max(...Array.from(offsets, (offset, row) => (scores[row * (n + 3) + j] as number) - offset)),
          );
          expect(distance(rig.floats(pooled, n), truth).max).toBeLessThan(1e-5);
          expect(rig.floats(pooled + n * 4, 1)[0]).toBeNaN();
        }
      }
    });
  });

  describe('drawKeys', () => {
    it('draws the keys whose share outweighs their draw, at most as the plan allows', () => {
      const cases = fc.record({
        n: fc.integer({ min: 1, max: 3000 }),
        spread: fc.constantFrom(0, 0.1, 1, 4, 20, 400),
        middle: fc.constantFrom(-9, 0, 40, -1000),
        bits: fc.constantFrom(7, 6, 2, -1, -7),
        share: fc.double({ min: 0.01, max: 1.2, noNaN: true }),
        sinks: fc.integer({ min: 0, max: 5 }),
        recent: fc.integer({ min: 0, max: 90 }),
        seed: fc.nat(1_000_000),
      });
      fc.assert(
        fc.property(cases, ({ n, spread, middle, bits, share, sinks, recent, seed }) => {
          const nats = createRandom(seed).normals(n, spread);
          const g = toScanUnits(
            nats.map((x) => x + middle),
            bits,
          );
          const plan = {
            n,
            sinks: Math.min(n, sinks),
            recentFrom: Math.max(0, n - recent),
            maxKeys: Math.ceil(share * n),
            seed: seed,
          };
          const { positions, logs, threshold } = draw(createRig(kernels, 2 ** 20), g, plan, bits);
          const isAlwaysIncluded = (j: number) => j < plan.sinks || j >= plan.recentFrom;
          const all = Array.from({ length: n }, (_, j) => j);
          if (plan.maxKeys >= n) {
            expect([...positions]).toEqual(all);
            expect(threshold).toBe(Number.NEGATIVE_INFINITY);
            expect(logs.every((x) => x === 0)).toBe(true);
            return;
          }
          const certain = all.filter(isAlwaysIncluded).length;
          const down = 2 ** (DRAW_FRACTION_BITS - bits);
          const number = (j: number) => Math.floor(drawNumber((j + seed * DRAW_STRIDE) % DRAW_PERIOD) / down);
          const priority = (j: number) => Math.min(32_767, (g[j] as number) + number(j));
          const t = threshold === Number.POSITIVE_INFINITY ? 32_768 : Math.round((threshold / Math.LN2) * 2 ** bits);
          expect([...positions]).toEqual(all.filter((j) => isAlwaysIncluded(j) || priority(j) >= t));
          for (const [i, j] of positions.entries()) {
            const shortfall = (t - (g[j] as number)) * down;
            const log = isAlwaysIncluded(j) || shortfall <= 0 ? 0 : (drawTables().logs[shortfall] as number);
            expect(logs[i]).toBeCloseTo(log, 5);
          }
          expect(positions.length).toBeLessThanOrEqual(Math.max(plan.maxKeys, certain));
          if (certain >= plan.maxKeys) {
            expect(threshold).toBe(Number.POSITIVE_INFINITY);
            return;
          }
          // One step lower there would be too many.
          expect(all.filter((j) => isAlwaysIncluded(j) || priority(j) >= t - 1).length).toBeGreaterThan(plan.maxKeys);
        }),
        { numRuns: 150, seed: 4 },
      );
    });

    it('is fair: over many turns a weighted sample adds up to the whole', () => {
      const n = 700;
      const nats = createRandom(1).normals(n, 2);
      const g = toScanUnits(nats, 7);
      const weights = Float64Array.from(nats, (x, j) => Math.exp(x) * (1 + (j % 7)));
      const whole = weights.reduce((a, b) => a + b, 0);
      const rig = createRig(kernels, 2 ** 26);
      let total = 0;
      for (let seed = 0; seed < 400; seed++) {
        const { positions, logs } = draw(rig, g, { n, sinks: 2, recentFrom: n - 5, maxKeys: 120, seed }, 7);
        for (const [i, j] of positions.entries()) total += (weights[j] as number) * Math.exp(-(logs[i] as number));
      }
      // A sample of 120 is off by some 7 %, and 400 of them by a 20th of that.
      expect(Math.abs(total / 400 / whole - 1)).toBeLessThan(0.015);
    });
  });

  describe('splitSample', () => {
    it('keeps every key once, the chosen in front', () => {
      const random = createRandom(8);
      for (const count of [0, 1, 5, 200]) {
        for (const selectedCount of new Set([0, Math.min(1, count), Math.floor(count / 3), count])) {
          const rig = createRig(kernels, 2 ** 20);
          const positions = Int32Array.from({ length: count }, (_, j) => 3 * j + 1);
          const logs = Float32Array.from({ length: count }, () => (random.uniform() < 0.3 ? 0 : -random.uniform()));
          const scores = random.normals(3 * (count + 2));
          const shares = Float32Array.from({ length: count }, () => random.uniform());
          const selected = Int32Array.from({ length: selectedCount }, (_, i) =>
            Math.floor((i * count) / Math.max(1, selectedCount)),
          );
          const buffers = { indices: rig.place(positions), logProbabilities: rig.place(logs) };
          const quantizedIndices = rig.allocate(count * 4 + 4);
          rig.views().i32.set(selected, quantizedIndices / 4);
          const [quantizedScores, parts] = [rig.allocate(3 * (count + 1) * 4), rig.allocate(12)];
          const exact = rig.kernels.splitSample(
            { ...buffers, scores: rig.place(scores), stride: count + 2, rows: 3, count },
            {
              shares: rig.place(shares),
              selected: quantizedIndices,
              selectedCount,
              minShare: 0.25,
              quantizedIndices,
              quantizedScores,
              quantizedStride: count + 1,
              parts,
            },
          );
          const isExact = (j: number) => selected.includes(j) && (shares[j] as number) >= 0.25;
          const all = Array.from({ length: count }, (_, j) => j);
          const exactly = all.filter(isExact);
          const certain = all.filter((j) => !isExact(j) && logs[j] === 0);
          const others = all.filter((j) => !isExact(j) && logs[j] !== 0);
          const order = [...certain, ...others.filter((_, i) => i % 2 === 0), ...others.filter((_, i) => i % 2 === 1)];
          expect(exact).toBe(exactly.length);
          expect([...rig.ints(parts, 3)]).toEqual([
            certain.length,
            Math.ceil(others.length / 2),
            Math.floor(others.length / 2),
          ]);
          expect([...rig.ints(buffers.indices, exact)]).toEqual(exactly.map((j) => positions[j]));
          expect([...rig.floats(buffers.logProbabilities, exact)]).toEqual(exactly.map((j) => logs[j]));
          expect([...rig.ints(quantizedIndices, order.length)]).toEqual(order.map((j) => positions[j]));
          for (let row = 0; row < 3; row++) {
            const actual = rig.floats(quantizedScores + row * (count + 1) * 4, order.length);
            expect([...actual]).toEqual(order.map((j) => scores[row * (count + 2) + j]));
          }
        }
      }
    });
  });

  describe('attention with weights', () => {
    const COUNTS = [0, 1, 3, 63, 64, 65, 200];

    it.for([8, 64, 80, 128])('takes exact keys, by their scores and a weight of each, for d = %i', (headDim) => {
      for (const precision of ['f16', 'f32'] as const) {
        for (const rows of [1, 3, 9]) {
          const random = createRandom(headDim + rows);
          const rig = createRig(kernels);
          const head = randomHead(random, 300, headDim, precision);
          const pages = rig.layOut(head);
          const queries = random.normals((rows + 3) * headDim, 0.3);
          const place = rig.place(queries);
          const scratch = rig.allocate(scratchBytes(rows, headDim));
          for (const count of COUNTS) {
            const positions = Int32Array.from({ length: count }, (_, j) => Math.floor((j * 299) / Math.max(1, count)));
            const indices = rig.place(positions);
            const logs = Float32Array.from({ length: count + 4 }, (_, j) => -(j % 5) / 4);
            const caps = Float32Array.from({ length: rows }, (_, row) => 1.5 + row / 4);
            const scores = rig.allocate((rows * (count + 5) + 8) * 4);
            rig.kernels.scoreSelected(pages, indices, count, place, rows, scores, count + 5, scratch);
            const importanceWeights = { logProbabilities: rig.place(logs), caps: rig.place(caps) };
            rig.kernels.applyImportanceWeights(scores, count + 5, rows, count, importanceWeights);
            const weights = weightsOf(head, queries, rows, positions, logs, caps);
            const state = rig.start(rows, headDim);
            for (let row = 0; row < rows; row++) {
              const actual = rig.floats(scores + row * (count + 5) * 4, count + 1);
              expect(distance(actual.subarray(0, count), weights[row] as Float64Array).max).toBeLessThan(1e-4);
              expect(actual[count]).toBeNaN();
            }
            rig.kernels.addValues(pages, indices, count, scores, count + 5, rows, state, scratch);
            expect(rig.floats(scores + count * 4, 1)[0]).toBeNaN();
            expectWeighted(rig, state, rows, headDim, weights, (j) =>
              rowAt(head.values, headDim, positions[j] as number),
            );
          }
        }
      }
    });

    it.for([8, 64, 96])('adds 4-bit values, for d = %i', (headDim) => {
      for (const rows of [1, 3]) {
        const random = createRandom(headDim);
        const rig = createRig(kernels);
        const head = headOf(headDim, 'f16', random.normals(320 * headDim), random.normals(320 * headDim));
        const pages = rig.layOut(head, ['int4']);
        const dimensions = rotatedDim(headDim);
        const scratch = rig.allocate(Math.max(quantizeScratchBytes(headDim), scratchBytes(rows, dimensions)));
        for (let page = 0; page < 5; page++) rig.kernels.quantizePage(pages, page, scratch);
        for (const count of COUNTS) {
          const positions = Int32Array.from({ length: count }, (_, j) => Math.floor((j * 319) / Math.max(1, count)));
          const state = rig.allocate(stateBytes(rows, dimensions));
          rig.kernels.initSoftmaxState(state, rows, dimensions);
          const numbers = random.normals(rows * (count + 5), 2);
          const scores = rig.place(numbers);
          rig.kernels.addQuantizedValues(pages, rig.place(positions), count, scores, count + 5, rows, state, scratch);
          // What lies behind the list belongs to another one.
          expect(rig.floats(scores + count * 4, 5)).toEqual(numbers.slice(count, count + 5));
          const unrotated = rig.allocate(rows * headDim * 4);
          rig.kernels.inverseRotate(stateOutputs(state, rows), rows, headDim, unrotated, scratch);
          rig.views().f32.copyWithin(stateOutputs(state, rows) / 4, unrotated / 4, unrotated / 4 + rows * headDim);
          const weights = Array.from({ length: rows }, (_, row) =>
            Float64Array.from(numbers.subarray(row * (count + 5), row * (count + 5) + count)),
          );
          const value = (j: number) =>
            inverseRotate(
              int4Row(rig.views(), quantizedKey(rig.views(), pages, positions[j] as number), 'value'),
              headDim,
            );
          expectWeighted(rig, state, rows, headDim, weights, value, ROUNDED_WEIGHT_TOLERANCE);
        }
      }
    });
  });
}

const rowAt = (rows: Float32Array, headDim: number, position: number) =>
  rows.subarray(position * headDim, (position + 1) * headDim);

/** ln of the weights of the listed keys, for each row. */
function weightsOf(
  head: HeadNumbers,
  queries: Float32Array,
  rows: number,
  positions: Int32Array,
  logs: Float32Array,
  caps: Float32Array,
): Float64Array[] {
  return Array.from({ length: rows }, (_, row) =>
    Float64Array.from(positions, (position, j) => {
      const query = rowAt(queries, head.headDim, row);
      let score = 0;
      for (const [i, x] of rowAt(head.keys, head.headDim, position).entries()) score += x * (query[i] as number);
      return Math.max(score, Math.min(score - (logs[j] as number), caps[row] as number));
    }),
  );
}

/** Scores of some 10 nats are off by a few 1e-6 of a nat, and values are of the order of 1. */
const FLOAT32_TOLERANCE = 5e-5;
/**
 * Weights of 64 keys that are off by up to half of a 32,767th of the largest, evenly: together by some 8 * .3 / 32,767
 * of it, times values that reach 4.
 */
const ROUNDED_WEIGHT_TOLERANCE = 3e-4;

/** Throws unless a state is the softmax of these weights over these values, near enough for float32. */
function expectWeighted(
  rig: KernelRig,
  state: number,
  rows: number,
  headDim: number,
  weights: readonly Float64Array[],
  value: (j: number) => ArrayLike<number>,
  tolerance = FLOAT32_TOLERANCE,
): void {
  const count = weights[0]?.length ?? 0;
  if (count === 0) {
    for (let row = 0; row < rows; row++) {
      expect([...rig.floats(state + 8 * row, 2)]).toEqual([Number.NEGATIVE_INFINITY, 0]);
    }
    return;
  }
  const actual = rig.finish(state, rows, headDim);
  for (const [row, logs] of weights.entries()) {
    const max = logs.reduce((a, b) => Math.max(a, b));
    const truth = new Float64Array(headDim);
    let sum = 0;
    for (let j = 0; j < count; j++) {
      const weight = Math.exp((logs[j] as number) - max);
      sum += weight;
      const v = value(j);
      for (let i = 0; i < headDim; i++) truth[i] = (truth[i] as number) + weight * (v[i] as number);
    }
    const output = truth.map((x) => x / sum);
    expect(distance(actual.subarray(row * headDim, (row + 1) * headDim), output).max).toBeLessThan(tolerance);
  }
}
