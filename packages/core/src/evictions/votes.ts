/**
 * Keeps the keys that recent queries attend to, and clusters of the others: the last queries vote for keys by the attention
 * that they pay, which is what SnapKV does (arXiv 2404.14469), here times the norms of values, but what is dropped is folded into remains
 * (`remains/clusters.ts`), and memory is bounded while a prompt is read and after it.
 */
import { BUFFER_KEYS, clustersOf } from '../remains/clusters.ts';
import type { Eviction, HeadEvidence } from './eviction.ts';

/** Queries that vote, and keys at the end that stay. */
const WINDOW = 32;
/** Width of the max-pooling of votes, in keys that are left: what surrounds a key is read with it. */
const POOLING_WIDTH = 7;
/** What is left of votes when a token is decoded, so that they are about those of the last `WINDOW` queries. */
const DECAY = 1 - 1 / WINDOW;

/** Drops keys after every `promptPart` keys of a prompt, or where there is none when the prompt is over. */
export function createVotes({ name, promptPart }: Pick<Eviction, 'name' | 'promptPart'>): Eviction {
  return {
    name,
    unit: 'head',
    observedQueries: WINDOW,
    readsScores: true,
    ...(promptPart !== undefined && { promptPart }),
    slack: BUFFER_KEYS,
    remains: clustersOf(),
    recentKeys: (keys) => Math.min(WINDOW, keys),
    worthOfPrompt: ({ received, heads }) => pooled(weighted(received, heads)),
    updateScore: (before, received) => DECAY * before + received,
  };
}

/** Votes times what the values weigh in the sum that is the output: the norm of each, relative to all. */
function weighted(votes: Float64Array, heads: readonly HeadEvidence[]): Float64Array {
  const squares = new Float64Array(votes.length);
  for (const head of heads) {
    const values = head.values();
    const headDim = values.length / votes.length;
    for (const [i, x] of values.entries()) {
      const j = Math.floor(i / headDim);
      squares[j] = (squares[j] as number) + x * x;
    }
  }
  const mean = squares.reduce((sum, x) => sum + x, 0) / squares.length;
  // Values that are all zero make no difference.
  return mean === 0 ? votes : votes.map((vote, j) => vote * Math.sqrt((squares[j] as number) / mean));
}

/** Max-pools votes, but for those of the window at their end. */
function pooled(votes: Float64Array): Float64Array {
  const end = votes.length - WINDOW;
  const radius = (POOLING_WIDTH - 1) / 2;
  return votes.map((vote, j) => {
    if (j >= end) return vote;
    let most = 0;
    for (let i = Math.max(0, j - radius); i <= Math.min(end - 1, j + radius); i++)
      most = Math.max(most, votes[i] as number);
    return most;
  });
}
