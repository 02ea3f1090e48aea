/** Attention over pages: of a few rows (decoding), of many (prefill), in parts, and over selected keys. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createRig,
  firstKeys,
  type HeadNumbers,
  headOf,
  type KernelRig,
  type KernelsUnderTest,
  type Rows,
  randomHead,
  stateNumbers,
} from '../../../test/kernel-rig.ts';
import { createRandom, type Random } from '../../../test/random.ts';
import { scratchBytes } from '../kernels.ts';
import { EXACT_PRECISIONS, PAGE_KEYS } from '../layout.ts';
import { expectAccurate, problemOf } from './accuracy.ts';

const HEAD_DIMS = [32, 64, 80, 96, 128, 256];
const GROUPS = [1, 2, 3, 4, 5, 6, 7, 8];
/** Around the edges of pages; each of them with every dimension, group and precision. */
const LENGTHS = [1, 2, 63, 64, 65, 127, 128, 129, 1000];
const MAX_LENGTH = 5000;

/** How the scores of normal keys are spread, in nats. */
const SPREADS = { flat: 0.01, normal: 1, peaked: 10, huge: 1e4 };

export function describeAttention(kernels: KernelsUnderTest): void {
  const slow = kernels.name === 'reference';

  describe.for(HEAD_DIMS)('decoding with heads of %i', (headDim) => {
    it.for(EXACT_PRECISIONS)(
      'is within twice the error of plain float32, for 1 to 8 rows, from 1 to 5,000 keys, in %s',
      (precision) => {
        const random = createRandom(headDim);
        const all = randomHead(random, MAX_LENGTH, headDim, precision);
        for (const n of LENGTHS) {
          const rig = createRig(kernels);
          const head = firstKeys(all, n);
          const pages = rig.layOut(head);
          for (const group of GROUPS) {
            // The slow kernels take every other group of the longest of these.
            if (n >= 1000 && kernels.name === 'reference' && (group + headDim / 16) % 4 !== 0) continue;
            const rows = rowsAtEnd(random, group, headDim, n);
            const outputs = attend(rig, pages, n, rows, headDim);
            expectAccurate(outputs, problemOf(head, rows), `n ${n}, group ${group}`);
          }
        }
        const rig = createRig(kernels);
        const rows = rowsAtEnd(random, slow ? 1 : 1 + (headDim % 7), headDim, MAX_LENGTH);
        expectAccurate(
          attend(rig, rig.layOut(all), MAX_LENGTH, rows, headDim),
          problemOf(all, rows),
          `n ${MAX_LENGTH}, group ${rows.group}`,
        );
      },
    );
  });

  it.for(Object.entries(SPREADS))('takes %s scores, a spread of %f nats', ([, spread]) => {
    for (const [headDim, n, group] of [
      [32, 700, 4],
      [80, 65, 12],
      [128, 300, 1],
    ] as const) {
      const rig = createRig(kernels);
      const random = createRandom(n);
      const head = randomHead(random, n, headDim, 'f32');
      const rows = rowsAtEnd(random, group, headDim, n, spread);
      expectAccurate(attend(rig, rig.layOut(head), n, rows, headDim), problemOf(head, rows), `d ${headDim}, n ${n}`);
    }
  });

  it('gives the value itself where there is one key, and their mean where all keys are equal', () => {
    const rig = createRig(kernels);
    const random = createRandom(5);
    for (const precision of EXACT_PRECISIONS) {
      const one = randomHead(random, 1, 64, precision);
      expect(attend(rig, rig.layOut(one), 1, rowsAtEnd(random, 1, 64, 1, 50), 64)).toEqual(one.values);

      const key = random.normals(64);
      const keys = Float32Array.from({ length: 130 * 64 }, (_, i) => key[i % 64] as number);
      // Whole numbers, whose sums of 130 are exact.
      const values = Float32Array.from({ length: 130 * 64 }, (_, i) => (i % 17) - 8);
      const equal = headOf(64, precision, keys, values);
      const outputs = attend(rig, rig.layOut(equal), 130, rowsAtEnd(random, 1, 64, 130), 64);
      for (const [i, x] of outputs.entries()) {
        const sum = values.reduce((total, value, at) => total + (at % 64 === i ? value : 0), 0);
        expect(x).toBe(Math.fround(sum / 130));
      }
    }
  });

  it.for([
    // d, group, queries, position of the first, precision
    [64, 3, 64, 0, 'f16'],
    [32, 1, 1, 0, 'f32'],
    [32, 1, 2, 63, 'f16'],
    [80, 1, 5, 62, 'f32'],
    [96, 2, 65, 1, 'f16'],
    [128, 7, 27, 200, 'f16'],
    [256, 8, 24, 129, 'f32'],
    [256, 9, 1, 200, 'f16'],
    [64, 5, 33, 95, 'f32'],
    [8, 4, 50, 40, 'f16'],
    [40, 3, 130, 0, 'f32'],
  ] as const)('prefills heads of %i, group %i, %i queries from position %i on, in %s', (shape) => {
    const [headDim, group, count, position, precision] = shape;
    const rig = createRig(kernels);
    const random = createRandom(headDim + position);
    const n = position + count;
    const head = randomHead(random, n, headDim, precision);
    const rows: Rows = {
      queries: random.normals(count * group * headDim, 1 / Math.sqrt(headDim)),
      rows: count * group,
      group,
      limit: position + 1,
    };
    expectAccurate(attend(rig, rig.layOut(head), n, rows, headDim), problemOf(head, rows), shape.join(', '));
  });

  it.for([
    // d, group, queries, position of the first, window, soft cap, precision
    [64, 4, 1, 700, 128, undefined, 'f16'],
    [64, 4, 1, 700, 1, 30, 'f32'],
    [256, 8, 1, 200, 65, 50, 'f16'],
    [32, 1, 40, 0, 16, undefined, 'f32'],
    [64, 3, 130, 300, 64, 20, 'f16'],
    [80, 5, 33, 95, 100, undefined, 'f32'],
    [256, 1, 64, 500, 512, undefined, 'f16'],
    [64, 7, 90, 10, 1000, 2, 'f32'],
    [40, 2, 200, 64, 3, 5, 'f16'],
  ] as const)(
    'takes a window and a soft cap: d %i, group %i, %i queries from %i on, window %i, cap %s, %s',
    (shape) => {
      const [headDim, group, count, position, window, softCap, precision] = shape;
      const rig = createRig(kernels);
      const random = createRandom(headDim + position);
      const head = randomHead(random, position + count, headDim, precision);
      const rows: Rows = {
        queries: random.normals(count * group * headDim, 3 / Math.sqrt(headDim)),
        rows: count * group,
        group,
        limit: position + 1,
        window,
        ...(softCap !== undefined && { softCap }),
      };
      const pages = rig.layOut(head);
      const whole = attend(rig, pages, head.n, rows, headDim);
      expectAccurate(whole, problemOf(head, rows), shape.join(', '));
      const unread = Math.floor(Math.max(0, position + 1 - window) / PAGE_KEYS) * PAGE_KEYS;
      const state = rig.start(rows.rows, headDim);
      // Pages before the window of all rows may be gone.
      rig.views().u32.fill(0xffff_ff00, pages.table / 4, pages.table / 4 + unread / PAGE_KEYS);
      rig.attend(pages, 0, head.n, rows, state);
      expect(rig.finish(state, rows.rows, headDim)).toEqual(whole);
    },
  );

  it('attends in parts, cut at any pages, as to the whole: the state goes on, or two states are merged', () => {
    const random = createRandom(11);
    const head = randomHead(random, 400, 32, 'f16');
    const cases = fc.record({
      first: fc.integer({ min: 0, max: 6 }),
      second: fc.integer({ min: 0, max: 6 }),
      count: fc.integer({ min: 1, max: 20 }),
      group: fc.integer({ min: 1, max: 5 }),
      merged: fc.boolean(),
    });
    fc.assert(
      fc.property(cases, ({ first, second, count, group, merged }) => {
        const rig = createRig(kernels, 2 ** 22);
        const pages = rig.layOut(head);
        const queries = random.normals(count * group * 32, 3 / Math.sqrt(32));
        const rows: Rows = { queries, rows: count * group, group, limit: head.n - count + 1 };
        const cuts = [0, ...[first, second].sort().map((page) => page * PAGE_KEYS), head.n];
        const state = rig.start(rows.rows, 32);
        for (const [i, to] of cuts.slice(1).entries()) {
          const part = merged ? rig.start(rows.rows, 32) : state;
          rig.attend(pages, cuts[i] as number, to, rows, part);
          if (merged) rig.kernels.mergeState(state, part, rows.rows, 32);
        }
        const what = `cuts ${cuts}, ${count} queries, group ${group}, merged ${merged}`;
        expectAccurate(rig.finish(state, rows.rows, 32), problemOf(head, rows), what);
      }),
      { numRuns: slow ? 10 : 40, seed: 1 },
    );
  });

  it('leaves the state of rows that may see none of the keys as it is', () => {
    const rig = createRig(kernels);
    const random = createRandom(12);
    const head = randomHead(random, 256, 32, 'f32');
    const pages = rig.layOut(head);
    // One query sees 65 keys, the next 66: none of them a key from 128 on.
    const rows: Rows = { queries: random.normals(10 * 32), rows: 10, group: 5, limit: 65 };
    const state = rig.start(10, 32);
    rig.attend(pages, 0, 128, rows, state);
    const before = stateNumbers(rig, state, 10, 32);
    rig.attend(pages, 128, 256, rows, state);
    rig.attend(pages, 0, 0, rows, state);
    expect(stateNumbers(rig, state, 10, 32)).toEqual(before);

    const unseen = rig.start(10, 32);
    const empty = stateNumbers(rig, unseen, 10, 32);
    rig.attend(pages, 128, 256, rows, unseen);
    expect(stateNumbers(rig, unseen, 10, 32)).toEqual(empty);
    expect(empty[0]).toEqual(Float32Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? Number.NEGATIVE_INFINITY : 0)));
  });

  it('attends to selected keys alone', () => {
    const headDim = 80;
    for (const precision of EXACT_PRECISIONS) {
      const random = createRandom(13);
      const head = randomHead(random, 1000, headDim, precision);
      for (const count of [1, 3, 4, 63, 64, 65, 128, 130, 999, 1000]) {
        const rig = createRig(kernels, 2 ** 22);
        const rows = rowsAtEnd(random, 1, headDim, head.n, 3);
        const listed = choosePositions(random, head.n, count);
        const state = rig.start(1, headDim);
        attendPositions(rig, head, listed, rows, state);
        expectAccurate(rig.finish(state, 1, headDim), problemOf(head, rows, [listed]), `${count} keys in ${precision}`);
      }
    }
  });

  it('adds selected keys to a state that holds others', () => {
    const random = createRandom(14);
    const head = randomHead(random, 200, 64, 'f16');
    const rig = createRig(kernels);
    const rows = rowsAtEnd(random, 1, 64, head.n, 3);
    const listed = choosePositions(random, 200, 120);
    const state = rig.start(1, 64);
    attendPositions(rig, head, listed.subarray(0, 50), rows, state);
    attendPositions(rig, head, listed.subarray(50), rows, state);
    expectAccurate(rig.finish(state, 1, 64), problemOf(head, rows, [listed]), 'two lists');
  });
}

/** Rows of one query behind all n keys, whose scores of normal keys are spread by `spread` nats. */
function rowsAtEnd(random: Random, group: number, headDim: number, n: number, spread = 1): Rows {
  return { queries: random.normals(group * headDim, spread / Math.sqrt(headDim)), rows: group, group, limit: n };
}

function attend(rig: KernelRig, pages: ReturnType<KernelRig['layOut']>, n: number, rows: Rows, headDim: number) {
  const state = rig.start(rows.rows, headDim);
  rig.attend(pages, 0, n, rows, state);
  return rig.finish(state, rows.rows, headDim);
}

/** `count` of n positions, ascending. */
function choosePositions(random: Random, n: number, count: number): Int32Array {
  const listed = new Set<number>();
  while (listed.size < count) listed.add(random.below(n));
  return Int32Array.from(listed).sort();
}

function attendPositions(rig: KernelRig, head: HeadNumbers, positions: Int32Array, rows: Rows, state: number): void {
  const scratch = rig.allocate(scratchBytes(1, head.headDim));
  const { kernels } = rig;
  kernels.attendSelected(
    rig.layOut(head),
    rig.place(positions),
    positions.length,
    rig.place(rows.queries),
    state,
    scratch,
  );
}
