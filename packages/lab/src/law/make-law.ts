/** Fits the laws of a model to tallies. */

import { type Extrapolation, type HeadLaw, LAW_FORMAT, LAW_VERSION, type LawFile, type LawModel } from 'keysieve';
import { labError } from '../errors.ts';
import { createRandom } from '../numerics/random.ts';
import { mean } from '../numerics/statistics.ts';
import { measureExtrapolation } from './extrapolation.ts';
import { fitGroupLaws, fitHeadLaw } from './head-laws.ts';
import { headRows, logKeysNeeded, summarizeLaws } from './law-summary.ts';
import { PooledTallies } from './pooled.ts';
import type { LawTally } from './tally.ts';

/** Tallies, and what law.json says about them. */
export interface LawInput extends Pick<LawFile, 'texts' | 'settings' | 'headline'> {
  model: LawModel;
  /** One for each text, all of one design. */
  tallies: readonly LawTally[];
  /** The longest context length that laws are fitted to. */
  fittedTo: number;
  /** Bytes of an exact key with its value, in one key-value head. */
  rowBytes: number;
}

/** Extrapolation is measured from laws fitted up to these shares of the longest length. */
const FIT_FRACTIONS = [1 / 2, 1 / 4];
const MIN_LENGTHS = 2;
/** A slope of ln error^2 over ln keys above this counts as no fall. */
const MAX_SLOPE = -0.01;

/** The content of law.json. Throws `invalid-argument` where the tallies have too few lengths, or errors do not fall. */
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

/** Throws `invalid-argument` where no law can be fitted to so few lengths. */
export function checkLengths(lengths: readonly number[]): void {
  if (lengths.length >= MIN_LENGTHS) return;
  throw labError({
    code: 'invalid-argument',
    problem: `A law needs queries at ${MIN_LENGTHS} context lengths or more.`,
    found: lengths.join(', ') || 'none',
    remedy: 'Measure more tokens, or shorter lengths.',
  });
}
