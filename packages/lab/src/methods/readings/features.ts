/** Feature sparsification's question asked of the sieve's scan: which bits of the keys does the softmax need. */
import type { CapturedHead } from '../../captures/captured-head.ts';
import { mean } from '../../numerics/statistics.ts';
import { compared, type HeadFigure, type Point, type Reading, type Study, short } from '../method.ts';
import { at, createRandom, dot } from '../numbers.ts';
import { outputOf, scoredRow } from './rows.ts';
import { featureScan, type Scan, signScan } from './scan.ts';
import { fourBitRows, type SieveRow, sieveErrors } from './simulated-sieve.ts';

const BUDGETS = [64, 128, 256, 512] as const;
/** Queries whose energies make the features; the ones after them are tested, every Nth. */
const FITTED_QUERIES = 32;
const EVERY = 12;

interface ScanKind {
  name: string;
  /** Bytes of the scan a key: codes, factor, and the page's centre. */
  bytes: number;
  make(captured: CapturedHead, keys: Float64Array, seed: number): Scan;
}

const featureKind = (
  name: string,
  bytes: number,
  nibbles: number,
  fittedKeys = Number.POSITIVE_INFINITY,
): ScanKind => ({
  name,
  bytes,
  make: (captured, keys) =>
    featureScan(keys, captured.headDim, { energies: energiesOf(captured), nibbles, fittedKeys }),
});

const SCANS: readonly ScanKind[] = [
  { name: 'signs', bytes: 11.1, make: ({ headDim }, keys, seed) => signScan(keys, headDim, seed) },
  featureKind('8 bytes of features', 10.1, 16),
  featureKind('4 bytes of features', 6.1, 8),
  featureKind('8 bytes, axes of the first 2,048 keys', 10.1, 16, 2048),
];

/** Mean squares (d) of the first captured queries, the same for both dimensions i, i + d / 2 of a pair. */
function energiesOf({ queries, group, lastQueries: last, headDim: d }: CapturedHead): Float64Array {
  const squares = new Float64Array(d);
  for (let head = 0; head < group; head++) {
    for (let i = 0; i < FITTED_QUERIES * d; i++)
      squares[i % d] = at(squares, i % d) + at(queries, head * last * d + i) ** 2;
  }
  return squares.map((x, i) => (x + at(squares, (i + d / 2) % d)) / 2);
}

/** Bytes a key beside the scan: 4-bit keys and values of the sample, exact ones of the budget. */
const readBytes = (keys: number, n: number, d: number): number => (keys * 4 * d + 2 * keys * d) / n;

/** Mean errors of every query head (group) for each budget, and noise of the scan in nats. */
function studyHead(captured: CapturedHead, kind: ScanKind, seed: number): { errors: number[][]; noise: number } {
  const { headDim: d, group, lastQueries: last } = captured;
  const keys = Float64Array.from(captured.keys);
  const values = Float64Array.from(captured.values);
  const fourBit = fourBitCache(captured, keys, values, seed);
  const scan = kind.make(captured, keys, seed);
  const random = createRandom(seed);
  const errors = BUDGETS.map(() => Array.from({ length: group }, (): number[] => []));
  const noises: number[] = [];
  for (let i = FITTED_QUERIES; i < last; i += EVERY) {
    const rows = Array.from({ length: group }, (_, head): SieveRow => {
      const row = scoredRow(captured, keys, head, i);
      const n = row.scores.length;
      const scanned = scan(row.query, n);
      const differences = scanned.map((x, j) => x - at(row.scores, j));
      const middle = mean(differences);
      noises.push(Math.sqrt(mean(differences.map((x) => (x - middle) ** 2))));
      // The open page is scored exactly.
      for (let j = Math.floor(n / 64) * 64; j < n; j++) scanned[j] = at(row.scores, j);
      return {
        exact: row.scores,
        scanned,
        fourBit: (key) => dot(row.query, 0, fourBit.keys, key * d, d),
        output: outputOf(row, values),
      };
    });
    for (const [b, budget] of BUDGETS.entries()) {
      for (const [head, error] of sieveErrors(rows, values, fourBit.values, budget, random).entries()) {
        errors[b]?.[head]?.push(error);
      }
    }
  }
  return { errors: errors.map((heads) => heads.map((values_) => mean(values_))), noise: mean(noises) };
}

const caches = new WeakMap<CapturedHead, { keys: Float64Array; values: Float64Array }>();

function fourBitCache(captured: CapturedHead, keys: Float64Array, values: Float64Array, seed: number) {
  const cached = caches.get(captured);
  if (cached !== undefined) return cached;
  const { headDim: d } = captured;
  const made = { keys: fourBitRows(keys, d, seed), values: fourBitRows(values, d, seed) };
  caches.set(captured, made);
  return made;
}

export function featureReading({ heads, seed, policies }: Study): Reading {
  const results = SCANS.map((kind) => ({ kind, found: heads.map((head) => studyHead(head, kind, seed)) }));
  const n = mean(heads.map((head) => head.n));
  const d = heads[0]?.headDim ?? 64;
  const pointsOf = ({ kind, found: byHead }: (typeof results)[0]): Point[] =>
    BUDGETS.map((budget, b) => ({
      name: kind.name,
      cost: kind.bytes + readBytes(budget, n, d),
      error: mean(byHead.flatMap(({ errors }) => errors[b] ?? [])),
    }));
  const lines = results.map(pointsOf);
  const [signs = [], eight = [], four = [], early = []] = lines;
  const reference = { name: 'the sieve by signs, simulated', points: signs };
  const strip: HeadFigure[] = heads.flatMap((head, h) =>
    Array.from({ length: head.group }, (_, query) => {
      const error = (s: number) => at(results[s]?.found[h]?.errors[2] ?? [], query);
      return { head: `${head.name} head ${query}`, value: error(1) / error(0) };
    }),
  );
  return {
    axis: 'bytes',
    points: [...eight, ...four],
    reference,
    others: [...early, ...policies.flatMap(({ points }) => points)],
    strip: { quantity: 'error with 8 bytes of features over that with signs, 256 keys', heads: strip },
    verdict: `${compared(eight[2] as Point, 'bytes', reference)}; ${compared(four[2] as Point, 'bytes', reference)}.`,
    findings: [
      `Axes of the first 2,048 keys go stale as RoPE turns the pairs: error ${short(
        at(
          early.map(({ error }) => error),
          2,
        ),
      )} at 256 ` +
        `keys where those of all keys have ${short(
          at(
            eight.map(({ error }) => error),
            2,
          ),
        )}.`,
    ],
    tables: [
      {
        caption: 'Error of the sieve, simulated, by keys that are read exactly',
        columns: ['scan', 'bytes a key', 'noise, nats', ...BUDGETS.map(String)],
        rows: results.map(({ kind, found: byHead }, i) => [
          kind.name,
          String(kind.bytes),
          short(mean(byHead.map(({ noise }) => noise))),
          ...(lines[i] ?? []).map(({ error }) => short(error)),
        ]),
      },
    ],
  };
}
