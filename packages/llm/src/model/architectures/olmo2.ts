/**
 * OLMo 2 and 3 (arXiv 2501.00656, 2512.13961): norms after attention and MLP in place of before, and norms of all queries
 * and all keys together. Three of four layers of OLMo 3 have a window, and only the others scale RoPE.
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readRope } from '../decoder/rope-scaling.ts';
import { readWindows } from '../decoder/windows.ts';

const olmo2: Architecture = {
  name: 'olmo2',
  describe(header, tensors) {
    const rope = readRope(header, tensors);
    const windowedRope = {
      ...rope,
      theta: header.keys.positive('rope.freq_base_swa', rope.theta),
      divisor: 1,
      yarn: undefined,
      magnitude: 1,
    };
    const window = readWindows(header, { period: 4 });
    return {
      ropePairs: 'halves',
      normPlacement: 'after',
      queryKeyNorm: { over: 'all heads' },
      window,
      rope: (layer) => (window(layer) === undefined ? rope : windowedRope),
    };
  },
};

export default olmo2;
