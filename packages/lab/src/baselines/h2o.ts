/**
 * H2O (arXiv 2306.14048): half of the keys that are kept are the last ones, the other half heavy hitters, those that all
 * queries so far have paid the most attention to. With every token the one that has received the least goes. Attention is
 * added up over the query heads that share a key.
 */
import type { Eviction } from 'keysieve/extend';

export function createH2o(): Eviction {
  return {
    name: 'h2o',
    unit: 'head',
    observedQueries: Number.POSITIVE_INFINITY,
    readsScores: true,
    recentKeys: (keys) => Math.floor(keys / 2),
    scorePrompt: (received) => received,
    updateScore: (before, received) => before + received,
  };
}
