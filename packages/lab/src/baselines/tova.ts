/**
 * TOVA (arXiv 2401.06104): with every token the key goes that the last query paid the least attention to, on the mean of
 * all heads of the layer, which keep the same positions. No key is kept for its place.
 */
import type { Eviction } from 'keysieve/extend';

export function createTova(): Eviction {
  return {
    name: 'tova',
    unit: 'layer',
    observedQueries: 1,
    readsScores: false,
    recentKeys: () => 0,
    scorePrompt: (received) => received,
    updateScore: (_, received) => received,
  };
}
