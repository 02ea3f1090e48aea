/** The residual sketch on the attention of real heads: what rank 4 leaves of it over many queries, and what that tells. */
import type { CapturedHead } from '../../captures/captured-head.ts';
import { relativeError } from '../../numerics/attention.ts';
import { mean } from '../../numerics/statistics.ts';
import type { HeadFigure, Reading, Study } from '../method.ts';
import { short } from '../method.ts';
import { addScaled, at, descending, spearman } from '../numbers.ts';
import { createResidualSketch } from '../residual-sketch.ts';
import { outputOf, type ScoredRow, scoredRow } from './rows.ts';

/** r: 100 KB of float32 a head. */
const SIZE = 160;
const RANKS = [1, 4, 16] as const;
/** Keys behind which the error of a head is compared. */
const BEST = 256;
/** Smaller entries are left out of the sketch: together 1e-4 of a row at most. */
const NEGLIGIBLE = 1e-6;

interface Residuals extends HeadFigure {
  /** ||P - P_k|| / ||P||, for every rank. */
  residuals: number[];
  /** Error with the best keys alone, mean over queries. */
  error: number;
}

function residualsOf(captured: CapturedHead, head: number, seed: number): Residuals {
  const keys = Float64Array.from(captured.keys);
  const values = Float64Array.from(captured.values);
  const sketch = createResidualSketch(SIZE, seed);
  const errors: number[] = [];
  for (let i = 0; i < captured.lastQueries; i++) {
    const row = scoredRow(captured, keys, head, i);
    // Rows of length 1, so that a few sharp queries do not stand for all.
    let squares = 0;
    for (const score of row.scores) squares += Math.exp(2 * (score - row.largest));
    for (const [j, score] of row.scores.entries()) {
      const entry = Math.exp(score - row.largest) / Math.sqrt(squares);
      if (entry > NEGLIGIBLE) sketch.add(i, j, entry);
    }
    // Every fourth query is enough for a mean.
    if (i % 4 === 3) errors.push(errorOfBest(row, values));
  }
  const [whole = 0, ...rest] = sketch.residuals([0, ...RANKS]);
  const residuals = rest.map((x) => x / whole);
  return { head: `${captured.name} head ${head}`, value: at(residuals, 1), residuals, error: mean(errors) };
}

function errorOfBest(row: ScoredRow, values: Float64Array): number {
  const d = row.query.length;
  const output = new Float64Array(d);
  let total = 0;
  for (const j of descending(row.scores).slice(0, BEST)) {
    const weight = Math.exp(at(row.scores, j) - row.largest);
    total += weight;
    addScaled(output, 0, weight, values, j * d, d);
  }
  return relativeError(
    output.map((x) => x / total),
    outputOf(row, values),
  );
}

export function residualReading({ heads, seed }: Study): Reading {
  const residuals = heads.flatMap((captured) =>
    Array.from({ length: captured.group }, (_, head) => residualsOf(captured, head, seed)),
  );
  const errors = residuals.map(({ error }) => error);
  const correlations = RANKS.map((_, i) =>
    spearman(
      residuals.map(({ residuals }) => at(residuals, i)),
      errors,
    ),
  );
  const means = RANKS.map((_, i) => mean(residuals.map(({ residuals }) => at(residuals, i))));
  return {
    points: [],
    reference: null,
    others: [],
    strip: { quantity: 'what rank 4 leaves of the attention of a head', heads: residuals },
    verdict:
      `The residual at rank 4 ranks heads by their error behind the best ${BEST} keys with a Spearman correlation of ` +
      `${short(at(correlations, 1))}.`,
    findings: [],
    tables: [
      {
        caption: `What is left of a head's attention, rows of length 1, ${heads[0]?.lastQueries} queries, sketch of ${SIZE} x ${SIZE}`,
        columns: ['', ...RANKS.map((k) => `rank ${k}`)],
        rows: [
          ['mean over heads', ...means.map(short)],
          ['Spearman correlation with the error', ...correlations.map(short)],
          ['largest', ...RANKS.map((_, i) => short(Math.max(...residuals.map(({ residuals }) => at(residuals, i)))))],
        ],
      },
    ],
  };
}
