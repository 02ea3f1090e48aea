/**
 * EXAONE 4 (arXiv 2507.11407): norms after attention and MLP, norms of queries and keys by head. In the 32B model three of
 * four layers have a window, and the others no RoPE.
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readRope } from '../decoder/rope-scaling.ts';
import { readWindows } from '../decoder/windows.ts';

/** Layers of the 32B model, the only one with windows; files of the others may name a window, too. */
const LAYERS_WITH_WINDOWS = 64;

const exaone4: Architecture = {
  name: 'exaone4',
  describe(header, tensors) {
    const norms = { normPlacement: 'after', queryKeyNorm: { over: 'head' }, ropePairs: 'halves' } as const;
    if (header.layers !== LAYERS_WITH_WINDOWS) return norms;
    const rope = readRope(header, tensors);
    const windowedRope = { ...rope, theta: header.keys.positive('rope.freq_base_swa', rope.theta) };
    const window = readWindows(header, { size: 4096, period: 4 });
    return { ...norms, window, rope: (layer) => (window(layer) === undefined ? undefined : windowedRope) };
  },
};

export default exaone4;
