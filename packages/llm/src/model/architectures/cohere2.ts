/**
 * Command R7B and Command A (arXiv 2504.00698): layer norm without bias, attention and MLP read the same input; three of
 * four layers have a window, and the others no RoPE.
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readRope } from '../decoder/rope-scaling.ts';
import { readWindows } from '../decoder/windows.ts';

const cohere2: Architecture = {
  name: 'cohere2',
  describe(header, tensors) {
    const { keys } = header;
    const rope = readRope(header, tensors);
    const windowedRope = { ...rope, theta: keys.positive('rope.freq_base_swa', rope.theta) };
    const window = readWindows(header, { size: 4096, period: 4 });
    return {
      norm: 'layer',
      block: 'parallel-one-norm',
      window,
      rope: (layer) => (window(layer) === undefined ? undefined : windowedRope),
      logitScale: keys.positive('logit_scale'),
    };
  },
};

export default cohere2;
