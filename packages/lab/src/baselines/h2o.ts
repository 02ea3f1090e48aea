/**
 * H2O (arXiv 2306.14048): half of the kept keys are the last ones, and half are heavy hitters, which have received the most
 * attention of all queries so far. Every token evicts the key that has received the least. Attention is summed over the query
 * heads of a GQA group.
 */
import type { Eviction } from 'keysieve/extend';

export function createH2o(): Eviction {
  return {
    name: 'h2o',
    unit: 'head',
    observedQueries: Number.POSITIVE_INFINITY,
    readsScores: true,
    recentKeys: (keys) => Math.floor(keys / 2),
    worthOfPrompt: ({ received }) => received,
    updateScore: (before, received) => before + received,
  };
}
