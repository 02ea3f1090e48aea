/**
 * gpt-oss (arXiv 2508.10925): experts with a clamped SwiGLU, a window in every other layer, a learned score of each head
 * that takes part in the softmax, and YaRN.
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readExperts } from '../decoder/read-experts.ts';
import { readWindows } from '../decoder/windows.ts';

const gptOss: Architecture = {
  name: 'gpt-oss',
  describe(header) {
    const experts = readExperts(header);
    return {
      ropePairs: 'halves',
      window: readWindows(header, { period: 2 }),
      sinks: true,
      feedForwardNorm: 'post_attention_norm',
      experts: experts && { ...experts, swiglu: { alpha: 1.702, beta: 1, limit: 7 } },
    };
  },
};

export default gptOss;
