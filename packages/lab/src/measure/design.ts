/** What is sampled of a text: lengths of context, numbers of keys, and the positions of the queries. */
import type { LawModel } from 'keysieve';
import { distanceBucket } from 'keysieve/engine';
import { labError } from '../errors.ts';
import { samplePositions } from '../law/positions.ts';
import type { TallyDesign } from '../law/tally.ts';
import { createRandom } from '../numerics/random.ts';

/** Shares of mass, and relative errors, for which keys are counted. */
const SHARES = [0.1, 0.05, 0.01];
const MIN_LENGTH = 512;
const MIN_KEYS = 4;
/** Numbers of keys go up by factors of two to here, then by half of that, as lengths do. */
const MAX_COARSE_KEYS = 128;
/** Budgets at which the policy is tried. */
const BUDGETS = [32, 64, 128, 256, 512, 1024, 2048];
/**
 * Size r of the sketch of a head's attention, 20 times the rank k = 4 whose residual is estimated: 25 KB a head. The estimate
 * is low by about k / r.
 */
const SKETCH_SIZE = 80;
/** Every Nth sample is a trial of the policy, too. */
const QUERIES_PER_TRIAL = 4;

/** One query that is sampled. */
export interface SampledQuery {
  position: number;
  /** Index of its length, and of the query among those of the length. */
  length: number;
  index: number;
  /** Index among the trials of the length, where the policy is tried on it. */
  trial: number | undefined;
}

export interface Design {
  tally: TallyDesign;
  /** Samples of each text, in the order of their positions. */
  queries: SampledQuery[][];
}

export interface DesignOptions {
  config: Pick<LawModel, 'layers' | 'layerIndices' | 'heads' | 'keyValueHeads'>;
  tokens: number;
  /** Default: half powers of two from 512 up to the tokens, or down from them where they are fewer. */
  lengths: readonly number[] | undefined;
  samples: number;
  seed: number;
  texts: number;
}

export function createDesign({
  config,
  tokens,
  lengths: requestedLengths,
  samples,
  seed,
  texts,
}: DesignOptions): Design {
  const lengths = requestedLengths ?? lengthsUpTo(tokens);
  const areValid = lengths.every((length, i) => length <= tokens && length > (lengths[i - 1] ?? MIN_KEYS));
  if (!areValid) {
    throw labError({
      code: 'invalid-argument',
      problem: `Lengths must ascend, from more than ${MIN_KEYS} up to the number of tokens read.`,
      found: `${lengths.join(', ')}, of ${tokens} tokens`,
      remedy: 'Change the lengths, or read more tokens.',
    });
  }
  const positions = Array.from({ length: texts }, (_, text) => {
    const random = createRandom(seed + text);
    return lengths.map((length) => samplePositions(length, samples, random));
  });
  const counts = (positions[0] as number[][]).map((lengthPositions) => lengthPositions.length);
  const { layers, layerIndices, heads, keyValueHeads } = config;
  return {
    tally: {
      layers,
      layerIndices,
      heads,
      keyValueHeads,
      lengths,
      shares: SHARES,
      budgets: BUDGETS,
      ladder: ladderUpTo(tokens / 2),
      distanceBuckets: distanceBucket(tokens - 1) + 1,
      sketchSize: SKETCH_SIZE,
      queryCounts: counts,
      trialCounts: counts.map((count) => Math.ceil(count / QUERIES_PER_TRIAL)),
    },
    queries: positions.map((byLength) =>
      byLength
        .flatMap((lengthPositions, length) =>
          lengthPositions.map((position, index): SampledQuery => {
            const trial = index % QUERIES_PER_TRIAL === 0 ? index / QUERIES_PER_TRIAL : undefined;
            return { position, length, index, trial };
          }),
        )
        .sort((a, b) => a.position - b.position),
    ),
  };
}

/** tokens / 2^(i/2), rounded, down to 512, or to a quarter of the tokens; ascending. */
export function lengthsUpTo(tokens: number): number[] {
  const lengths: number[] = [];
  const shortest = Math.min(MIN_LENGTH, tokens / 4);
  for (let i = 0; tokens / 2 ** (i / 2) >= shortest * 0.99; i++) lengths.unshift(Math.round(tokens / 2 ** (i / 2)));
  return lengths;
}

/** Numbers of keys, ascending; at least two. */
function ladderUpTo(maxKeys: number): number[] {
  const ladder: number[] = [];
  for (let keys = MIN_KEYS; keys <= Math.max(2 * MIN_KEYS, maxKeys); keys *= keys < MAX_COARSE_KEYS ? 2 : Math.SQRT2) {
    ladder.push(Math.round(keys));
  }
  return ladder;
}
