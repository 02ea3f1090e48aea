/**
 * Keeps the keys that recent queries attend to, and clusters of the others: the last queries vote for keys by the attention
 * that they pay, which is what SnapKV does (arXiv 2404.14469), but what is dropped is folded into remains
 * (`remains/clusters.ts`), and memory is bounded while a prompt is read and after it.
 */
import { BUFFER_KEYS, clustersOf } from '../remains/clusters.ts';
import type { Eviction } from './eviction.ts';

/** Queries that vote, and keys at the end that stay. */
const WINDOW = 32;
/** What is left of votes when a token is decoded, so that they are about those of the last `WINDOW` queries. */
const DECAY = 1 - 1 / WINDOW;
/** What earlier votes count when the next part of a prompt is judged. */
const EARLIER_VOTES = 0.5;

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
    worthOfPrompt: ({ received, before }) => received.map((votes, j) => votes + EARLIER_VOTES * (before[j] as number)),
    updateScore: (before, received) => DECAY * before + received,
  };
}
