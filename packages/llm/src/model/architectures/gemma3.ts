/**
 * Gemma 3 (arXiv 2503.19786): norms before and after attention and MLP, norms of queries and keys by head in place of
 * soft caps; five layers of six have a window, and turn by a base of their own that is not scaled.
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readRope } from '../decoder/rope-scaling.ts';
import { readWindows } from '../decoder/windows.ts';

/** The 27B model divides scores by the root of hidden size over heads, the others by that of the head's size. */
const LAYERS_OF_27B = 62;

const gemma3: Architecture = {
  name: 'gemma3',
  describe(header, tensors) {
    const { keys, hiddenSize, layers, heads, headDim } = header;
    const rope = readRope(header, tensors);
    const windowedRope = { ...rope, theta: keys.positive('rope.freq_base_swa', 10_000), divisor: 1 };
    const window = readWindows(header, { period: 6 });
    return {
      ropePairs: 'halves',
      embeddingScale: Math.sqrt(hiddenSize),
      activation: 'gelu',
      normPlacement: 'both',
      queryKeyNorm: { over: 'head' },
      window,
      rope: (layer) => (window(layer) === undefined ? rope : windowedRope),
      attentionScale: 1 / Math.sqrt(layers === LAYERS_OF_27B ? hiddenSize / heads : headDim),
      logitSoftCap: keys.positiveOrNone('final_logit_softcapping'),
    };
  },
};

export default gemma3;
