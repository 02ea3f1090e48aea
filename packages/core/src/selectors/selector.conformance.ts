/** What every selector must do, whatever the keys. */
import { describe, expect, it } from 'vitest';
import { createHeadBench, type HeadBenchOptions, SMALL_ARENA_BYTES, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, type KeyShapeName, keysOfShape } from '../../test/key-shapes.ts';
import { attention64 } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { type BudgetContext, type KeyBudget, maxKeys } from '../budgets/budget.ts';
import { parseBudget } from '../budgets/index.ts';
import type { RunningLogSumExp } from '../group/group-work.ts';
import { ENCODINGS, PAGE_KEYS, PRECISIONS } from '../kernels/layout.ts';
import { type Selector, SINK_KEYS, sinksAndRecent } from './selector.ts';

const HEAD_DIM = 16;
/** Single keys, parts of a page, its edges, several pages. */
const LENGTHS = [1, 2, 3, 5, 36, 37, 63, 64, 65, 129, 500];
const BUDGETS = ['fixed:1', 'fixed:2', 'fixed:5', 'fixed:40', 'fixed:100', 'fraction:0.5', 'power:2,0.6', 'log:10'];
const MASSES = [0, 0.01, 0.1, 0.5, 1];

export function describeSelector(create: () => Selector): void {
  const { name, certain: guaranteesMass, unit } = create();
  describe(`the selector ${name}`, () => {
    it.for(KEY_SHAPE_NAMES)(
      'with keys %s: chooses within the budget, in order, and keeps sinks and recent',
      (shape) => {
        const bench = benchOf(shape, 500);
        for (const n of LENGTHS) {
          for (const text of BUDGETS) {
            const { budget, chosen, selection } = select(create(), bench, n, text);
            const what = `${text} of ${n}`;
            expect(selection.count, what).toBe(chosen.length);
            expect(chosen.length, what).toBeGreaterThanOrEqual(1);
            // Keys of the page that is not full yet have no encodings: they are read, whatever the budget.
            const open = create().encodings.length > 0 ? (n % PAGE_KEYS) + SINK_KEYS : 0;
            expect(chosen.length, what).toBeLessThanOrEqual(Math.max(maxKeys(budget, { n, layer: 0, head: 0 }), open));
            expectPositions(chosen, n, what);
            expectKept(chosen, n, what);
            expect(Number.isSafeInteger(selection.bytesScanned) && selection.bytesScanned >= 0, what).toBe(true);
          }
        }
      },
    );

    it.for(KEY_SHAPE_NAMES)('with keys %s: chooses all of them when the budget is n, or more', (shape) => {
      const bench = benchOf(shape, 500);
      for (const n of LENGTHS) {
        for (const text of [
          `fixed:${n}`,
          `fixed:${n + 1}`,
          'fraction:1',
          'power:1,1',
          'log:1e9',
          ...(guaranteesMass ? ['mass:0'] : []),
        ]) {
          const { chosen } = select(create(), bench, n, text);
          // A mass of 0 may be had without keys whose weight is 0 in float64.
          if (text === 'mass:0' && chosen.length < n) expect(unread(bench, n, chosen)).toBe(0);
          else expect([...chosen], `${text} of ${n}`).toEqual(Array.from({ length: n }, (_, i) => i));
        }
      }
    });

    it.for(guaranteesMass ? KEY_SHAPE_NAMES : [])(
      'with keys %s: leaves no more mass unread than the budget says',
      (shape) => {
        const bench = benchOf(shape, 500);
        for (const n of LENGTHS) {
          for (const mass of MASSES) {
            const { chosen } = select(create(), bench, n, `mass:${mass}`);
            expectPositions(chosen, n, `mass:${mass} of ${n}`);
            expectKept(chosen, n, `mass:${mass} of ${n}`);
            // Scores are float32: so much may a share be off, above all where scores go into the hundreds.
            const slack = 1e-6 + Math.expm1(2 * (HEAD_DIM + 2) * 2 ** -24 * maxScore(bench, n));
            expect(unread(bench, n, chosen), `mass:${mass} of ${n}`).toBeLessThanOrEqual(mass + slack);
          }
        }
      },
    );

    it.for(KEY_SHAPE_NAMES)('with keys %s: gives the sum over all keys, or none', (shape) => {
      const bench = benchOf(shape, 500);
      for (const n of LENGTHS) {
        for (const text of ['fixed:40', 'mass:0.1']) {
          const { totalSums } = select(create(), bench, n, text).selection;
          if (totalSums === undefined) continue;
          const [total] = totalSums as [RunningLogSumExp];
          const [truth = 0] = attention64(bench.problem(bench.row, n)).logSumExp;
          const slack = 1e-5 + (HEAD_DIM + 2) * 2 ** -24 * maxScore(bench, n);
          expect(Math.abs(total.max + Math.log(total.sum) - truth), `${text} of ${n}`).toBeLessThanOrEqual(slack);
        }
      }
    });

    it.for(unit === 'group' ? KEY_SHAPE_NAMES : [])(
      'with keys %s: chooses the same keys for all rows of a group, within the largest of their budgets',
      (shape) => {
        const bench = benchOf(shape, 500);
        const rows = Float32Array.from([...bench.row, ...createRandom(9).normals(2 * HEAD_DIM)]);
        // The heads of a group may have budgets of their own.
        const budget: KeyBudget = { name: 'by head', keys: ({ head }: BudgetContext) => [5, 40, 10][head] as number };
        for (const n of LENGTHS.filter((length) => length >= 40)) {
          const { count } = create().select(bench.query(rows, n), budget);
          const chosen = bench.selectedPositions(bench.query(rows, n), count);
          expectPositions(chosen, n, `three rows of ${n}`);
          expectKept(chosen, n, `three rows of ${n}`);
          expect(chosen.length, `three rows of ${n}`).toBeLessThanOrEqual(Math.max(40, (n % PAGE_KEYS) + SINK_KEYS));
        }
      },
    );

    it('chooses the same in several regions, in every precision, and again', () => {
      for (const precision of PRECISIONS) {
        const one = benchOf('normal', 700, { precision });
        // The buffers of a thread, and then a page or two.
        const many = benchOf('normal', 700, { precision, arenaBytes: SMALL_ARENA_BYTES });
        expect(many.query(many.row).segments.length).toBeGreaterThan(1);
        for (const n of [3, 300, 700]) {
          for (const text of ['fixed:100', 'mass:0.05', 'fraction:1']) {
            const first = select(create(), one, n, text);
            expect(select(create(), one, n, text).chosen).toEqual(first.chosen);
            const other = select(create(), many, n, text);
            expect(other.chosen, `${text} of ${n}`).toEqual(first.chosen);
            expect(other.selection.count).toBe(first.selection.count);
          }
        }
      }
    });
  });
}

type Bench = ReturnType<typeof benchOf>;

function benchOf(shape: KeyShapeName, n: number, options: Partial<HeadBenchOptions> = {}) {
  const { keys, values, query } = keysOfShape(shape, createRandom(1), n, HEAD_DIM);
  return { ...createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS, ...options }), row: query };
}

function select(selector: Selector, bench: Bench, n: number, text: string) {
  const budget = parseBudget(text);
  const query = bench.query(bench.row, n);
  const selection = selector.select(query, budget);
  return { budget, selection, chosen: bench.selectedPositions(query, selection.count) };
}

const unread = (bench: Bench, n: number, chosen: Int32Array) => unreadMass(bench.problem(bench.row, n), n, chosen);

function maxScore(bench: Bench, n: number): number {
  const { queryNorms, maxKeyNorm } = bench.query(bench.row, n);
  return (queryNorms[0] as number) * maxKeyNorm;
}

/** Ascending, each once, all of them visible. */
function expectPositions(chosen: Int32Array, n: number, what: string): void {
  expect(
    chosen.every((position, i) => i === 0 || position > (chosen[i - 1] as number)),
    what,
  ).toBe(true);
  expect(chosen[0], what).toBeGreaterThanOrEqual(0);
  expect(chosen.at(-1), what).toBeLessThan(n);
}

function expectKept(chosen: Int32Array, n: number, what: string): void {
  const { sinks, recent } = sinksAndRecent(chosen.length);
  const has = new Set(chosen);
  for (let i = 0; i < sinks; i++) expect(has.has(i), `${what}: sink ${i}`).toBe(true);
  for (let i = 1; i <= recent; i++) expect(has.has(n - i), `${what}: recent ${i}`).toBe(true);
}
