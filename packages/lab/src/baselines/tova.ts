/**
 * TOVA (arXiv 2401.06104): every token evicts the key that the last query paid the least attention to, on average over all
 * heads of the layer, which keep the same positions. No key is kept for its position.
 */
import type { Eviction } from 'keysieve/extend';

export function createTova(): Eviction {
  return {
    name: 'tova',
    unit: 'layer',
    observedQueries: 1,
    readsScores: false,
    recentKeys: () => 0,
    worthOfPrompt: ({ received }) => received,
    updateScore: (_, received) => received,
  };
}
