/**
 * SnapKV (arXiv 2404.14469): the last queries of a prompt, its observation window, vote for keys with the attention that
 * they pay; votes are pooled, so that what surrounds a key stays with it. The keys with the most votes are kept, and the
 * window itself. That is done once: the tokens that come after the prompt are all kept as well, beyond the budget.
 *
 * Window and pooling are those of the paper's LongBench runs. Votes are added up over the query heads that share a key.
 */
import type { Eviction } from 'keysieve/extend';

/** Queries of the observation window. */
export const OBSERVATION_WINDOW = 32;
/** Neighbouring keys whose largest vote counts for each. */
const POOLING_WIDTH = 7;

export function createSnapkv(): Eviction {
  return {
    name: 'snapkv',
    unit: 'head',
    observedQueries: OBSERVATION_WINDOW,
    readsScores: false,
    recentKeys: (keys) => Math.min(OBSERVATION_WINDOW, keys),
    scorePrompt: (received) => maxPoolVotes(received, Math.max(0, received.length - OBSERVATION_WINDOW)),
  };
}

/** The largest vote within reach of each of the first `count` votes; the window behind them takes no part. */
function maxPoolVotes(votes: Float64Array, count: number): Float64Array {
  const radius = Math.floor(POOLING_WIDTH / 2);
  return votes.map((vote, j) => {
    if (j >= count) return vote;
    let max = 0;
    for (let i = Math.max(0, j - radius); i <= Math.min(count - 1, j + radius); i++) {
      max = Math.max(max, votes[i] as number);
    }
    return max;
  });
}
