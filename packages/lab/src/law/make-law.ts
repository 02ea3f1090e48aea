/** Makes law.json of what has been tallied. */

import { type Extrapolation, type HeadLaw, LAW_FORMAT, LAW_VERSION, type LawFile, type LawModel } from 'keysieve';
import { labError } from '../errors.ts';
import { createRandom } from '../numerics/random.ts';
import { mean } from '../numerics/statistics.ts';
import { measureExtrapolation } from './extrapolation.ts';
import { fitGroupLaws, fitHeadLaw } from './head-laws.ts';
import { headRows, logKeysNeeded, summarizeLaws } from './law-summary.ts';
import { PooledTallies } from './pooled.ts';
import type { LawTally } from './tally.ts';

export interface LawInput extends Pick<LawFile, 'texts' | 'settings' | 'headline'> {
  model: LawModel;
  /** Measurements of each text. */
  tallies: readonly LawTally[];
  /** Longest length of context that laws are fitted to. */
  fittedTo: number;
  /** Bytes of a key and its value in one key-value head, read exactly. */
  rowBytes: number;
}

/** Laws are tried by what those fitted up to these shares of the longest length predict of it. */
const FIT_FRACTIONS = [1 / 2, 1 / 4];
const MIN_LENGTHS = 2;
/** Errors that fall more slowly than this, of ln error^2 over ln keys, do not fall. */
const MAX_SLOPE = -0.01;

/** Throws `invalid-argument` where there is too little to fit laws to. */
export function makeLaw(input: LawInput): LawFile {
  const { model, texts, settings, headline, tallies, fittedTo, rowBytes } = input;
  const pooled = new PooledTallies(tallies, fittedTo);
  const { lengths, design } = pooled;
  const { shares, ladder, budgets } = design;
  checkLengths(lengths);
  const random = createRandom(settings.seed);
  const heads = headRows(pooled).map((row) => fitHeadLaw(pooled, row, headline, random));
  const centre = { keys: mean(budgets.map(Math.log)), length: mean(lengths.map(Math.log)) };
  const groups = fitGroupLaws(pooled, centre, random);
  const flatGroup = groups.find(({ surface }) => !(surface.keys < MAX_SLOPE));
  if (flatGroup !== undefined) {
    throw labError({
      code: 'invalid-argument',
      problem: 'The error of the policy does not fall as its budget grows, so no budget can be derived from it.',
      found: `layer ${flatGroup.layer}, key-value head ${flatGroup.keyValueHead}`,
      remedy: 'Measure with more tokens, or more samples.',
    });
  }
  return {
    format: LAW_FORMAT,
    version: LAW_VERSION,
    model,
    texts,
    settings,
    lengths: [...lengths],
    shares: [...shares],
    ladder: [...ladder],
    budgets: [...budgets],
    headline,
    heads,
    groups,
    centre,
    extrapolation: measureExtrapolations(pooled, heads, headline),
    summary: summarizeLaws({ pooled, heads, groups, headline, rowBytes }),
  };
}

function measureExtrapolations(
  pooled: PooledTallies,
  heads: readonly HeadLaw[],
  headline: LawFile['headline'],
): Extrapolation[] {
  const last = pooled.lengths.length - 1;
  const longest = pooled.lengths[last] as number;
  return FIT_FRACTIONS.flatMap((share) => {
    const shorter = pooled.upTo(share * longest);
    if (shorter.lengths.length < MIN_LENGTHS) return [];
    const extrapolatedHeads = heads.map(({ kind }, row) => ({
      kind,
      fitted: logKeysNeeded(shorter, row, headline),
      measured: logKeysNeeded(pooled, row, headline, last),
    }));
    return measureExtrapolation(extrapolatedHeads, shorter.lengths.at(-1) as number, longest);
  });
}

function checkLengths(lengths: readonly number[]): void {
  if (lengths.length >= MIN_LENGTHS) return;
  throw labError({
    code: 'invalid-argument',
    problem: `A law needs queries at ${MIN_LENGTHS} context lengths or more.`,
    found: lengths.join(', ') || 'none',
    remedy: 'Measure more tokens, or shorter lengths.',
  });
}
