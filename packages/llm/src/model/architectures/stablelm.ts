/** StableLM 2 (arXiv 2402.17834): layer norm, RoPE over a quarter of a head. */
import type { Architecture } from '../decoder/architecture.ts';

const stablelm: Architecture = {
  name: 'stablelm',
  describe: ({ keys }) => ({
    norm: 'layer',
    ropePairs: 'halves',
    block: keys.flag('use_parallel_residual', false) ? 'parallel-one-norm' : 'sequential',
  }),
};

export default stablelm;
