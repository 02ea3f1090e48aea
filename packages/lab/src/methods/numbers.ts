/** Vectors in float64, statistics, and repeatable random numbers, as the methods of this folder use them. */
import { KeysieveError } from 'keysieve';
import { createRandom as createUniformRandom, type Random as UniformRandom } from '../numerics/random.ts';

/** Rows of numbers, one after the other: (rows, width). */
export type Rows = Float32Array | Float64Array;

export const at = (numbers: ArrayLike<number>, index: number): number => numbers[index] as number;

/** The inner product of `width` numbers, which begin at `aFrom` and `bFrom`. */
export function dot(a: Rows, aFrom: number, b: Rows, bFrom: number, width: number): number {
  let sum = 0;
  for (let i = 0; i < width; i++) sum += (a[aFrom + i] as number) * (b[bFrom + i] as number);
  return sum;
}

/** target += factor * source, over `width` numbers, which begin at `to` and `from`. */
export function addScaled(target: Rows, to: number, factor: number, source: Rows, from: number, width: number): void {
  for (let i = 0; i < width; i++) {
    target[to + i] = (target[to + i] as number) + factor * (source[from + i] as number);
  }
}

export const norm = (x: Rows): number => Math.sqrt(dot(x, 0, x, 0, x.length));

/** The mean row (width) of rows (n, width). */
export function meanRow(rows: Rows, width: number): Float64Array {
  const mean = new Float64Array(width);
  const n = rows.length / width;
  for (let j = 0; j < n; j++) addScaled(mean, 0, 1 / n, rows, j * width, width);
  return mean;
}

/** Rows (n, width) less their mean row. */
export function centred(rows: Rows, width: number): Float64Array {
  const mean = meanRow(rows, width);
  return Float64Array.from(rows, (x, i) => x - at(mean, i % width));
}

/** Indices by descending number; of equals the first comes first. */
export function descending(numbers: ArrayLike<number>): Uint32Array {
  const order = Uint32Array.from({ length: numbers.length }, (_, i) => i);
  return order.sort((a, b) => at(numbers, b) - at(numbers, a) || a - b);
}

export function max(numbers: Iterable<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of numbers) if (!(x <= most)) most = x;
  return most;
}

/** |a|! / prod a_i! of a list of dimensions, ascending. */
export function multinomial(dimensions: readonly number[]): number {
  let orders = 1;
  for (let i = 0, run = 0; i < dimensions.length; i++) {
    run = i > 0 && dimensions[i] === dimensions[i - 1] ? run + 1 : 1;
    orders *= (i + 1) / run;
  }
  return orders;
}

/** ln of the sum of e^x. */
export function logSumExp(numbers: ArrayLike<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < numbers.length; i++) most = Math.max(most, at(numbers, i));
  if (most === Number.NEGATIVE_INFINITY) return most;
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += Math.exp(at(numbers, i) - most);
  return most + Math.log(sum);
}

/** Rank correlation of two lists without ties. */
export function spearman(x: readonly number[], y: readonly number[]): number {
  const ranks = (numbers: readonly number[]) => {
    const rank = new Array<number>(numbers.length);
    for (const [place, index] of descending(numbers).entries()) rank[index] = place;
    return rank;
  };
  const [a, b] = [ranks(x), ranks(y)];
  const squares = a.reduce((sum, rank, i) => sum + (rank - at(b, i)) ** 2, 0);
  const n = x.length;
  return 1 - (6 * squares) / (n * (n * n - 1));
}

export interface Random extends UniformRandom {
  normal(): number;
  normals(count: number): Float64Array;
  /** -1 or 1. */
  sign(): number;
  /** `count` different whole numbers below n. */
  distinct(count: number, n: number): number[];
}

/** A generator that repeats itself for a seed. Throws `invalid-argument` for a seed that is no whole number from 0 to 2^32 - 1. */
export function createRandom(seed: number): Random {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw invalid('The seed of a method is not valid.', seed, 'Give a whole number from 0 to 4294967295.');
  }
  const { uniform, below } = createUniformRandom(seed);
  // Box and Muller.
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return {
    uniform,
    below,
    normal,
    normals: (count) => Float64Array.from({ length: count }, normal),
    sign: () => (uniform() < 0.5 ? -1 : 1),
    distinct(count, n) {
      const drawn = new Set<number>();
      while (drawn.size < count) drawn.add(below(n));
      return [...drawn];
    },
  };
}

/** 32 equally spread bits of a whole number below 2^32 (the finaliser of MurmurHash3). */
export function hash(index: number, seed: number): number {
  let bits = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca77);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** An error about what a caller gave. */
export const invalid = (problem: string, found: unknown, remedy: string): KeysieveError =>
  new KeysieveError({ code: 'invalid-argument', problem, found: String(found), remedy });

/** Throws `invalid-argument` unless `rows` are (n, width) finite numbers, n at least 1. */
export function checkRows(rows: Rows, width: number, what: string): void {
  const whole = Number.isInteger(width) && width > 0 && rows.length > 0 && rows.length % width === 0;
  if (!whole) {
    throw invalid(`${what} have another shape than (n, ${width}).`, `${rows.length} numbers`, 'Give whole rows.');
  }
  const bad = rows.findIndex((x) => !Number.isFinite(x));
  if (bad !== -1) throw invalid(`${what} have a number that is not finite.`, at(rows, bad), 'Give finite numbers.');
}

/** Throws `invalid-argument` unless `value` is a whole number from `min` to `max`. */
export function checkCount(value: number, what: string, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw invalid(`${what} is out of range.`, value, `Give a whole number from ${min} to ${max}.`);
}

/** Throws `invalid-argument` unless `value` is above 0 and finite. */
export function checkPositive(value: number, what: string): void {
  if (value > 0 && Number.isFinite(value)) return;
  throw invalid(`${what} must be a finite number above 0.`, value, 'Give another.');
}
