/**
 * Budgets divided over heads as a bandit would have it: which head gets how many keys for the next token. Every head
 * attends its best keys exactly and page means stand for the others; 256 keys a head on average.
 */
import type { CapturedHead } from '../../captures/captured-head.ts';
import { relativeError } from '../../numerics/attention.ts';
import { mean, quantile } from '../../numerics/statistics.ts';
import { type HeadFigure, type Reading, type Study, short } from '../method.ts';
import { addScaled, at, createRandom, descending, type Random } from '../numbers.ts';
import { outputOf, type ScoredRow, scoredRow } from './rows.ts';

/** Numbers of keys, each sqrt(2) times the one before. */
const LADDER = Array.from({ length: 15 }, (_, i) => Math.round(16 * Math.SQRT2 ** i));
/** Numbers of keys that a division chooses from, between those of the ladder too. */
const CHOICES = Array.from({ length: 57 }, (_, i) => 16 * 2 ** (i / 8));
const MEAN_KEYS = 256;
const PAGE = 64;
/** Every Nth captured query. */
const EVERY = 2;
/** ln error falls by this with ln keys. */
const SLOPE = 0.84;
/** Tokens that an average over shown errors remembers. */
const MEMORY = 16;
/** Deviation of what a head is shown of its error, in logarithms. */
const NOISE = 0.3;

/** Errors of one query by LADDER. */
type Curve = Float64Array;

function curvesOf(captured: CapturedHead, head: number): Curve[] {
  const { headDim: d, n } = captured;
  const keys = Float64Array.from(captured.keys);
  const values = Float64Array.from(captured.values);
  const pages = Math.ceil(n / PAGE);
  const means = (rows: Float64Array) => {
    const sums = new Float64Array(pages * d);
    for (let j = 0; j < n; j++) {
      const page = Math.floor(j / PAGE);
      addScaled(sums, page * d, 1 / Math.min(PAGE, n - page * PAGE), rows, j * d, d);
    }
    return sums;
  };
  const [meanKeys, meanValues] = [means(keys), means(values)];
  const curves: Curve[] = [];
  for (let i = EVERY - 1; i < captured.lastQueries; i += EVERY) {
    curves.push(curveOf(scoredRow(captured, keys, head, i), values, meanKeys, meanValues));
  }
  return curves;
}

function curveOf(row: ScoredRow, values: Float64Array, meanKeys: Float64Array, meanValues: Float64Array): Curve {
  const { query, scores, largest } = row;
  const d = query.length;
  const exact = outputOf(row, values);
  const order = descending(scores);
  const unread = new Float64Array(meanKeys.length / d);
  for (let j = 0; j < scores.length; j++) unread[Math.floor(j / PAGE)] = at(unread, Math.floor(j / PAGE)) + 1;
  const pageWeights = unread.map((_, page) => {
    let score = 0;
    for (let i = 0; i < d; i++) score += at(query, i) * at(meanKeys, page * d + i);
    return Math.exp(score - largest);
  });
  const read = new Float64Array(d);
  let mass = 0;
  let taken = 0;
  return Float64Array.from(LADDER, (count) => {
    for (; taken < Math.min(count, scores.length); taken++) {
      const j = at(order, taken);
      const weight = Math.exp(at(scores, j) - largest);
      mass += weight;
      addScaled(read, 0, weight, values, j * d, d);
      unread[Math.floor(j / PAGE)] = at(unread, Math.floor(j / PAGE)) - 1;
    }
    const output = Float64Array.from(read);
    let total = mass;
    for (const [page, left] of unread.entries()) {
      const weight = left * at(pageWeights, page);
      total += weight;
      addScaled(output, 0, weight, meanValues, page * d, d);
    }
    return relativeError(
      output.map((x) => x / total),
      exact,
    );
  });
}

/** Error at any number of keys, straight between steps of the ladder in logarithms. */
function errorAtKeys(curve: Curve, keys: number): number {
  const place = Math.min(LADDER.length - 1, Math.max(0, Math.log(keys / 16) / Math.log(Math.SQRT2)));
  const below = Math.min(LADDER.length - 2, Math.floor(place));
  const share = place - below;
  return Math.exp((1 - share) * Math.log(at(curve, below)) + share * Math.log(at(curve, below + 1)));
}

/** Keys of every head that make the sum of squared errors least, MEAN_KEYS a head at most: by a price of a key. */
function divide(squares: readonly Float64Array[]): number[] {
  const offers = squares.map((curve) => CHOICES.map((keys) => errorAtKeys(curve, keys)));
  const atPrice = (price: number) =>
    offers.map((curve) => {
      let best = 0;
      for (const [i, keys] of CHOICES.entries()) {
        if (at(curve, i) + price * keys < at(curve, best) + price * at(CHOICES, best)) best = i;
      }
      return at(CHOICES, best);
    });
  let [low, high] = [-30, 5];
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (mean(atPrice(Math.exp(middle))) > MEAN_KEYS) low = middle;
    else high = middle;
  }
  return atPrice(Math.exp(high));
}

const meanSquares = (curves: readonly Curve[]): Float64Array =>
  Float64Array.from(LADDER, (_, i) => mean(curves.map((curve) => at(curve, i) ** 2)));

/** Keys of every head for every query, by an average over the errors that it has shown: k ~ level^(2 / (2 slope + 1)). */
function dividedOnline(heads: readonly Curve[][], random: Random): number[][] {
  let keys = heads.map(() => MEAN_KEYS);
  const squares = heads.map(() => Number.NaN);
  const tokens = heads[0]?.length ?? 0;
  return Array.from({ length: tokens }, (_, t) => {
    const used = keys;
    for (const [h, curves] of heads.entries()) {
      const shown = errorAtKeys(curves[t] as Curve, at(used, h)) * Math.exp(NOISE * random.normal());
      // What the error would be at one key.
      const level = (shown * at(used, h) ** SLOPE) ** 2;
      squares[h] = Number.isNaN(at(squares, h))
        ? level
        : at(squares, h) + (level - at(squares, h)) / Math.min(MEMORY, t + 1);
    }
    const weights = squares.map((level) => level ** (1 / (2 * SLOPE + 1)));
    keys = weights.map((weight) => Math.max(16, (MEAN_KEYS * weight) / mean(weights)));
    return used;
  });
}

export function divisionReading({ heads, seed }: Study): Reading {
  const named = heads.flatMap((captured) =>
    Array.from({ length: captured.group }, (_, head) => ({
      name: `${captured.name} head ${head}`,
      curves: curvesOf(captured, head),
    })),
  );
  const all = named.map(({ curves }) => curves);
  const tokens = all[0]?.length ?? 0;
  const half = tokens >> 1;
  const part = (from: number, to: number) => all.map((curves) => meanSquares(curves.slice(from, to)));
  const online = dividedOnline(all, createRandom(seed));
  const first = divide(part(0, half));
  const hindsight = divide(part(half, tokens));
  const divisions: Record<string, (t: number) => readonly number[]> = {
    'the same for all': () => all.map(() => MEAN_KEYS),
    'by the errors of the first half': () => first,
    'by shown errors, token by token': (t) => online[t] ?? [],
    'best for all of the second half, in hindsight': () => hindsight,
    'best for every token, in hindsight': (t) => divide(all.map((curves) => meanSquares([curves[t] as Curve]))),
  };
  const results = Object.entries(divisions).map(([name, keysAt]) => {
    const errors: number[] = [];
    for (let t = half; t < tokens; t++) {
      const keys = keysAt(t);
      for (const [h, curves] of all.entries()) errors.push(errorAtKeys(curves[t] as Curve, at(keys, h)));
    }
    return { name, mean: mean(errors), rms: Math.sqrt(mean(errors.map((x) => x * x))), p95: quantile(errors, 0.95) };
  });
  const [fixed, , shown] = results as [(typeof results)[0], (typeof results)[0], (typeof results)[0]];
  const strip: HeadFigure[] = named.map(({ name }, h) => ({
    head: name,
    value: mean(online.slice(half).map((keys) => at(keys, h))),
  }));
  const less = (a: number, b: number) => `${Math.round(100 * (1 - a / b))} %`;
  return {
    points: [],
    reference: null,
    others: [],
    strip: { quantity: 'keys that a head is given by the errors that it shows', heads: strip },
    verdict:
      `Divided by the errors that heads show, the same keys leave a root mean square error ${less(shown.rms, fixed.rms)} lower ` +
      `and a 95th percentile ${less(shown.p95, fixed.p95)} lower.`,
    findings: [spreadFinding(all)],
    tables: [
      {
        caption: `${MEAN_KEYS} keys a head on average, best keys and page means, second half of the queries`,
        columns: ['division', 'mean', 'rms', '95th percentile'],
        rows: results.map((result) => [result.name, short(result.mean), short(result.rms), short(result.p95)]),
      },
    ],
  };
}

/** How much of the variance of ln error lies between heads. */
function spreadFinding(all: readonly Curve[][]): string {
  const logs = all.map((curves) => curves.map((curve) => Math.log(errorAtKeys(curve, MEAN_KEYS))));
  const variance = (numbers: readonly number[]) => mean(numbers.map((x) => (x - mean(numbers)) ** 2));
  const between = variance(logs.map((logErrors) => mean(logErrors)));
  const within = mean(logs.map(variance));
  return `The variance of ln error at ${MEAN_KEYS} keys is ${short(between)} between heads and ${short(within)} within one: which head counts, not which token.`;
}
