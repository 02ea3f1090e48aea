/** Gemma (arXiv 2403.08295): embeddings times the root of their size, GELU in place of SiLU. */
import type { Architecture } from '../decoder/architecture.ts';

const gemma: Architecture = {
  name: 'gemma',
  describe: ({ hiddenSize }) => ({
    ropePairs: 'halves',
    embeddingScale: Math.sqrt(hiddenSize),
    activation: 'gelu',
  }),
};

export default gemma;
