/**
 * SnapKV (arXiv 2404.14469): the last queries of a prompt, its observation window, vote for keys with the attention that
 * they pay; votes are pooled, so that what surrounds a key stays with it. The keys with the most votes are kept, and the
 * window itself. That is done once: the tokens that come after the prompt are all kept as well, beyond the budget.
 *
 * Window and pooling are those of the paper's LongBench runs. Votes are added up over the query heads that share a key.
 */
import type { Eviction } from './eviction.ts';

/** Queries of the observation window. */
export const WINDOW = 32;
/** Neighbouring keys whose largest vote counts for each. */
const POOLED_KEYS = 7;

export default function createSnapkv(): Eviction {
  return {
    name: 'snapkv',
    unit: 'head',
    observed: WINDOW,
    remembers: false,
    recent: (keys) => Math.min(WINDOW, keys),
    worthOfPrompt: (received) => pooledVotes(received, Math.max(0, received.length - WINDOW)),
  };
}

/** Of the first `count` votes, the largest within reach of each; the window behind them takes no part. */
function pooledVotes(votes: Float64Array, count: number): Float64Array {
  const reach = Math.floor(POOLED_KEYS / 2);
  return votes.map((own, j) => {
    if (j >= count) return own;
    let largest = 0;
    for (let i = Math.max(0, j - reach); i <= Math.min(count - 1, j + reach); i++) {
      largest = Math.max(largest, votes[i] as number);
    }
    return largest;
  });
}
