/**
 * SnapKV (arXiv 2404.14469): the last queries of a prompt, its observation window, vote for keys by the attention that they
 * pay. Votes are max-pooled, so that the neighbours of a key stay with it. The window and the keys with the most votes are
 * kept. This happens once: all tokens after the prompt are kept as well, beyond the budget.
 *
 * Window and pooling width are those of the paper's LongBench runs. Votes are summed over the query heads of a GQA group.
 */
import type { Eviction } from 'keysieve/extend';

/** Queries of the observation window. */
export const OBSERVATION_WINDOW = 32;
/** Width of the max-pooling of votes, in keys. */
const POOLING_WIDTH = 7;

export function createSnapkv(): Eviction {
  return {
    name: 'snapkv',
    unit: 'head',
    observedQueries: OBSERVATION_WINDOW,
    readsScores: false,
    recentKeys: (keys) => Math.min(OBSERVATION_WINDOW, keys),
    worthOfPrompt: ({ received }) => maxPoolVotes(received, Math.max(0, received.length - OBSERVATION_WINDOW)),
  };
}

/** Max-pools the first `count` votes; those of the window behind them stay as they are. */
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
