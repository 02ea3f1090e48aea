/**
 * Gemma 2 (arXiv 2408.00118): norms before and after attention and MLP, a window in every other layer, soft caps of
 * scores and logits.
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readWindows } from '../decoder/windows.ts';

/** The 27B model divides scores by the root of hidden size over heads, the others by that of the head's size. */
const LAYERS_OF_27B = 46;

const gemma2: Architecture = {
  name: 'gemma2',
  describe(header) {
    const { keys, hiddenSize, layers, heads, headDim } = header;
    return {
      ropePairs: 'halves',
      embeddingScale: Math.sqrt(hiddenSize),
      activation: 'gelu',
      normPlacement: 'both',
      window: readWindows(header, { size: 4096, period: 2 }),
      attentionScale: 1 / Math.sqrt(layers === LAYERS_OF_27B ? hiddenSize / heads : headDim),
      attentionSoftCap: keys.positive('attn_logit_softcapping', 50),
      logitSoftCap: keys.positive('final_logit_softcapping', 30),
    };
  },
};

export default gemma2;
