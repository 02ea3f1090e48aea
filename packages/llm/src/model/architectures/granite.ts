/** Granite 3 (ibm.com/granite): Llama with constants for embeddings, residuals, attention and logits (arXiv 2408.13359). */
import type { Architecture } from '../decoder/architecture.ts';

const granite: Architecture = {
  name: 'granite',
  describe({ keys, headDim }) {
    return {
      embeddingScale: keys.positiveOrNone('embedding_scale') ?? 1,
      residualScale: keys.positiveOrNone('residual_scale') ?? 1,
      attentionScale: keys.positiveOrNone('attention.scale') ?? 1 / Math.sqrt(headDim),
      logitScale: 1 / keys.positive('logit_scale'),
    };
  },
};

export default granite;
