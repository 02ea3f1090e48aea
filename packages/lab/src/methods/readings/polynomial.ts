/**
 * Polynomial features as the tail behind exact keys: a polynomial of the scores of the unread keys, whose sums are
 * moments of keys and values, less the same polynomial of the keys that are read. Its coefficients are fitted for every
 * query by least squares to the scan's own scores, since no polynomial of low degree fits the exponential over all of them.
 */
import { EigenvalueDecomposition, Matrix, solve } from 'ml-matrix';
import { relativeError } from '../../numerics/attention.ts';
import { mean } from '../../numerics/statistics.ts';
import { compared, type HeadFigure, type Point, type Reading, SIEVE, type Study, short } from '../method.ts';
import { addScaled, at, descending, dot, logSumExp, max, meanRow } from '../numbers.ts';
import { type EvictionHead, evictionHeads, type TestedRow, WINDOW } from './eviction.ts';
import { energies } from './remains.ts';
import { type Scan, signScan } from './scan.ts';

const KEPT = 256;
const SINKS = 4;
const RECENT = 32;
/** Dimensions whose squares the third variant has. */
const LEADING = 8;
const SCAN_BYTES = 11.1;

/** What stands for the unread keys, and bytes of its moments at two a number. */
interface Variant {
  name: string;
  stateBytes(d: number): number;
  /** Regressors (count) of an unread key. */
  regressors(score: number, leading: number): number[];
}

const VARIANTS: readonly Variant[] = [
  { name: 'degree 1', stateBytes: (d) => 2 * (d + 1) ** 2, regressors: (score) => [1, score] },
  {
    name: `degree 1 and squares in ${LEADING} dimensions`,
    stateBytes: (d) => 2 * ((d + 1) ** 2 + ((LEADING * (LEADING + 1)) / 2) * (d + 1)),
    regressors: (score, leading) => [1, score, leading * leading],
  },
  {
    name: 'degree 2',
    stateBytes: (d) => 2 * ((d + 1) ** 2 + ((d * (d + 1)) / 2) * (d + 1)),
    regressors: (score) => [1, score, score * score],
  },
];

const OTHERS = ['nothing', 'mean value'] as const;

interface RowErrors {
  head: number;
  /** OTHERS, then VARIANTS. */
  errors: number[];
  /** Largest score less the mean, nats. */
  span: number;
}

/** Projection (d, d) on the leading directions of the keys in the metric of the queries' energies. */
function leadingProjection({ d, prompt, keys }: EvictionHead, metric: Float64Array): Float64Array {
  const roots = metric.map(Math.sqrt);
  const middle = meanRow(keys.subarray(0, prompt * d), d);
  const covariance = new Float64Array(d * d);
  const row = new Float64Array(d);
  for (let j = 0; j < prompt; j++) {
    for (let i = 0; i < d; i++) row[i] = (at(keys, j * d + i) - at(middle, i)) * at(roots, i);
    for (let a = 0; a < d; a++) addScaled(covariance, a * d, at(row, a), row, 0, d);
  }
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(Matrix.from1DArray(d, d, covariance), {
    assumeSymmetric: true,
  });
  const V = [...descending(realEigenvalues)].slice(0, LEADING).map((i) => eigenvectorMatrix.getColumn(i));
  return Float64Array.from({ length: d * d }, (_, i) => {
    const [a, b] = [Math.floor(i / d), i % d];
    return V.reduce((sum, v) => sum + at(v, a) * at(v, b), 0) * (at(roots, b) / at(roots, a));
  });
}

/** What noise adds to the log mass of unread keys by the scan, mean over queries of the window: nats to take off. */
function massOffset({ d, prompt, window, keys }: EvictionHead, query: number, scan: Scan): number {
  const differences: number[] = [];
  for (let i = 0; i < WINDOW; i += 4) {
    const a = window.slice((query * WINDOW + i) * d, (query * WINDOW + i + 1) * d);
    const scanned = scan(a, prompt - WINDOW);
    const unread = descending(scanned).slice(KEPT);
    const exact = Float64Array.from(unread, (j) => dot(a, 0, keys, j * d, d));
    differences.push(logSumExp(Float64Array.from(unread, (j) => at(scanned, j))) - logSumExp(exact));
  }
  return mean(differences);
}

function studyHead(head: EvictionHead, seed: number): RowErrors[] {
  const { d, keys, values, rows } = head;
  const scan = signScan(keys, d, seed);
  const projection = leadingProjection(head, energies(head));
  const middle = meanRow(keys, d);
  const offsets = Array.from({ length: head.group }, (_, query) => massOffset(head, query, scan));
  const rowErrors: RowErrors[] = [];
  for (const length of new Set(rows.map(({ scores }) => scores.length))) {
    const group = rows.filter(({ scores }) => scores.length === length);
    const scanned = group.map(({ query }) => scan(query, length));
    const logSums = scanned.map((scores_) => logSumExp(scores_));
    // The largest share that any head of the group pays; first and recent keys always.
    const worth = Float64Array.from({ length }, (_, j) =>
      j < SINKS || j >= length - RECENT
        ? Number.POSITIVE_INFINITY
        : Math.max(...scanned.map((scores_, r) => at(scores_, j) - at(logSums, r))),
    );
    const order = descending(worth);
    for (const [r, row] of group.entries()) {
      const base = dot(row.query, 0, middle, 0, d);
      // (a^T P) (k - mean)
      const side = new Float64Array(d);
      for (let a = 0; a < d; a++) addScaled(side, 0, at(row.query, a), projection, a * d, d);
      const leadingAt = (j: number) => dot(side, 0, keys, j * d, d) - dot(side, 0, middle, 0, d);
      const tail = {
        read: order.slice(0, KEPT),
        unread: order.slice(KEPT),
        scanned: (scanned[r] as Float64Array).map((x) => x - at(offsets, row.head)),
        base,
        leadingAt,
      };
      rowErrors.push({ head: row.head, errors: errorsOf(row, values, tail), span: row.largest - base });
    }
  }
  return rowErrors;
}

interface TailInput {
  read: Uint32Array;
  unread: Uint32Array;
  scanned: Float64Array;
  /** The score of the mean key. */
  base: number;
  leadingAt(j: number): number;
}

function errorsOf(
  row: TestedRow,
  values: Float64Array,
  { read, unread, scanned, base, leadingAt }: TailInput,
): number[] {
  const { scores, output } = row;
  const d = output.length;
  // Numerator (d) and denominator, in units of e^base.
  const ofRead = new Float64Array(d + 1);
  for (const j of read) {
    const weight = Math.exp(at(scores, j) - base);
    addScaled(ofRead, 0, weight, values, j * d, d);
    ofRead[d] = at(ofRead, d) + weight;
  }
  const errorWith = (tail: Float64Array) => {
    const sum = ofRead.map((x, i) => x + at(tail, i));
    return relativeError(
      sum.subarray(0, d).map((x) => x / at(sum, d)),
      output,
    );
  };
  const targets = Float64Array.from(unread, (j) => Math.exp(at(scanned, j) - base));
  const meanTail = new Float64Array(d + 1);
  const mass = targets.reduce((sum, x) => sum + x, 0);
  for (const j of unread) addScaled(meanTail, 0, mass / unread.length, values, j * d, d);
  meanTail[d] = mass;
  const errors = [errorWith(new Float64Array(d + 1)), errorWith(meanTail)];
  const leading = Float64Array.from(unread, leadingAt);
  for (const { regressors } of VARIANTS) {
    const fitted = Array.from(unread, (j, i) => regressors(at(scanned, j) - base, at(leading, i)));
    const width = fitted[0]?.length ?? 0;
    const [normal, right] = [Matrix.zeros(width, width), Matrix.zeros(width, 1)];
    for (const [i, x] of fitted.entries()) {
      for (let a = 0; a < width; a++) {
        right.set(a, 0, right.get(a, 0) + at(x, a) * at(targets, i));
        for (let b = 0; b < width; b++) normal.set(a, b, normal.get(a, b) + at(x, a) * at(x, b));
      }
    }
    const coefficients = solve(normal, right).getColumn(0);
    // The moments less those of the keys that are read: the polynomial of the true scores of the unread ones.
    const tail = new Float64Array(d + 1);
    for (const [i, j] of unread.entries()) {
      const p = regressors(at(scores, j) - base, at(leading, i)).reduce(
        (sum, x, a) => sum + x * at(coefficients, a),
        0,
      );
      addScaled(tail, 0, p, values, j * d, d);
      tail[d] = at(tail, d) + p;
    }
    errors.push(errorWith(tail));
  }
  return errors;
}

/** The product's own line, where it was measured; what nothing behind the keys costs, where it was not. */
const sieveReference = ({ policies }: Study, otherwise: Point) =>
  policies.find(({ name }) => name === SIEVE) ?? { name: 'nothing behind the keys', points: [otherwise] };

export function polynomialReading(study: Study): Reading {
  const heads = evictionHeads(study);
  const rowErrors = heads.map((head) => studyHead(head, study.seed));
  const rows = rowErrors.flat();
  const n = mean(heads.map(({ prompt }) => prompt));
  const d = heads[0]?.d ?? 64;
  const exactBytes = SCAN_BYTES + (KEPT * 4 * d) / n;
  const meanOf = (i: number) => mean(rows.map(({ errors }) => at(errors, i)));
  const points: Point[] = VARIANTS.map(({ name, stateBytes }, i) => ({
    name,
    cost: exactBytes + stateBytes(d) / n,
    error: meanOf(OTHERS.length + i),
  }));
  const others: Point[] = OTHERS.map((name, i) => ({
    name: `${name} behind ${KEPT} keys`,
    cost: exactBytes,
    error: meanOf(i),
  }));
  const reference = sieveReference(study, { name: 'nothing', cost: exactBytes, error: meanOf(0) });
  const strip: HeadFigure[] = heads.flatMap((head, h) =>
    Array.from({ length: head.group }, (_, query) => ({
      head: `${head.name} head ${query}`,
      value: mean((rowErrors[h] ?? []).filter((row) => row.head === query).map(({ errors }) => at(errors, 3))),
    })),
  );
  const spans = rows.map(({ span }) => span);
  return {
    axis: 'bytes',
    points,
    reference,
    others,
    strip: { quantity: `error of ${KEPT} keys with squares in ${LEADING} dimensions behind them`, heads: strip },
    verdict: `${compared(points[1] as Point, 'bytes', reference)}.`,
    findings: [
      `The largest score is ${short(mean(spans))} nats above that of the mean key on average, ${short(max(spans))} at most: ` +
        'no polynomial of low degree fits the exponential over that.',
    ],
    tables: [
      {
        caption: `Error behind the ${KEPT} keys that the signs put first`,
        columns: ['what stands for the others', 'bytes a key', 'error'],
        rows: [...others, ...points].map(({ name, cost, error }) => [name, cost.toFixed(1), short(error)]),
      },
    ],
  };
}
