/** Whether real heads look at distances alone, as Conv-Basis supposes. */

import { relativeError } from '../../numerics/attention.ts';
import { mean } from '../../numerics/statistics.ts';
import { distanceProfile, distanceShare } from '../distance-share.ts';
import { type HeadFigure, type Reading, type Study, short } from '../method.ts';
import { addScaled, at, dot } from '../numbers.ts';
import { type EvictionHead, evictionHeads, type TestedRow, WINDOW } from './eviction.ts';

/** Entries of a column that are compared with those of its neighbour, and nats by which they may differ on average. */
const SEGMENT = 16;
const TOLERANCES = [0.5, 1] as const;
/** The first key, which has no neighbour before it, is left out. */
const FIRST = 1;

interface Found {
  head: string;
  local: number;
  frozen: number;
  /** Errors of attention by the profile, and by frozen scores. */
  profileError: number;
  frozenError: number;
  /** Share of columns that differ from their shifted neighbour, for every tolerance. */
  columns: number[];
}

function studyHead(head: EvictionHead, query: number): Found {
  const { d, prompt, keys, window, values } = head;
  const fitted = Array.from({ length: WINDOW }, (_, i) => {
    const from = (query * WINDOW + i) * d;
    const length = prompt - WINDOW + i + 1;
    return { scores: Float64Array.from({ length }, (_, j) => dot(window, from, keys, j * d, d)) };
  });
  const tested = head.rows.filter((row) => row.head === query);
  const range = { from: FIRST, to: prompt - WINDOW };
  const profile = distanceProfile(fitted, range);
  const frozen = Float64Array.from({ length: range.to }, (_, j) => mean(fitted.map(({ scores }) => at(scores, j))));
  const withScores = (row: TestedRow, predicted: (j: number) => number) => attentionWith(row, values, range, predicted);
  return {
    head: `${head.name} head ${query}`,
    local: distanceShare(fitted, tested, range),
    frozen: frozenShare(tested, frozen, range),
    profileError: mean(tested.map((row) => withScores(row, (j) => at(profile, row.scores.length - 1 - j)))),
    frozenError: mean(tested.map((row) => withScores(row, (j) => at(frozen, j)))),
    columns: TOLERANCES.map((tolerance) => differing(fitted, range, tolerance)),
  };
}

/** What the mean score of every key over the window explains of later scores, about the mean of each row. */
function frozenShare(
  tested: readonly TestedRow[],
  frozen: Float64Array,
  { from, to }: { from: number; to: number },
): number {
  let [rest, whole] = [0, 0];
  for (const { scores } of tested) {
    const older = scores.slice(from, to);
    const left = older.map((score, i) => score - at(frozen, from + i));
    const middle = mean(older);
    for (const x of older) whole += (x - middle) ** 2;
    for (const x of left) rest += x * x;
  }
  return 1 - rest / whole;
}

/** The error of attention with predicted scores for the keys of the range, and true ones for all others. */
function attentionWith(
  { scores, largest, output, query }: TestedRow,
  values: Float64Array,
  { from, to }: { from: number; to: number },
  predicted: (j: number) => number,
): number {
  const d = query.length;
  const studied = new Float64Array(d);
  let total = 0;
  for (let j = 0; j < scores.length; j++) {
    const weight = Math.exp((j >= from && j < to ? predicted(j) : at(scores, j)) - largest);
    total += weight;
    addScaled(studied, 0, weight, values, j * d, d);
  }
  return relativeError(
    studied.map((x) => x / total),
    output,
  );
}

function differing(
  rows: readonly { scores: Float64Array }[],
  { from, to }: { from: number; to: number },
  tolerance: number,
): number {
  let count = 0;
  for (let j = from; j < to; j++) {
    let distance = 0;
    for (let t = 1; t <= SEGMENT; t++) {
      distance += Math.abs(at(rows[t]?.scores ?? [], j) - at(rows[t - 1]?.scores ?? [], j - 1)) / SEGMENT;
    }
    if (distance > tolerance) count++;
  }
  return count / (to - from);
}

export function convolutionReading(study: Study): Reading {
  const studied = evictionHeads(study).flatMap((head) =>
    Array.from({ length: head.group }, (_, query) => studyHead(head, query)),
  );
  const meanOf = (pick: (head: Found) => number) => mean(studied.map(pick));
  const span = (pick: (head: Found) => number) =>
    `${short(Math.min(...studied.map(pick)))} to ${short(Math.max(...studied.map(pick)))}`;
  const local = ({ local: share }: Found) => share;
  const frozen = ({ frozen: share }: Found) => share;
  const most = Math.max(...studied.map(local));
  const strip: HeadFigure[] = studied.map(({ head, local: value }) => ({ head, value }));
  return {
    points: [],
    reference: null,
    others: [],
    strip: { quantity: 'share of the variance of scores that distance alone explains', heads: strip },
    verdict:
      `Distance alone explains ${short(meanOf(local))} of the variance of scores, at most ${short(most)} in a head; ` +
      `${short(100 * meanOf(({ columns }) => at(columns, 0)))} % of columns need a convolution of their own.`,
    findings: [
      `As attention, a profile over distances errs by ${short(meanOf(({ profileError }) => profileError))}, scores frozen at ` +
        `their mean over the window by ${short(meanOf(({ frozenError }) => frozenError))}.`,
    ],
    tables: [
      {
        caption: 'Share of the variance of later scores that is explained',
        columns: ['', 'mean', 'over heads'],
        rows: [
          ['profile over distances', short(meanOf(local)), span(local)],
          ['frozen score of each key', short(meanOf(frozen)), span(frozen)],
        ],
      },
      {
        caption: 'Columns that differ from their shifted neighbour',
        columns: ['nats, on average', 'share'],
        rows: TOLERANCES.map((tolerance, i) => [String(tolerance), short(meanOf(({ columns }) => at(columns, i)))]),
      },
    ],
  };
}
