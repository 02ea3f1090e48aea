/** GPT-NeoX and Pythia (arXiv 2204.06745): layer norm, GELU without a gate, attention and MLP in parallel. */
import type { Architecture } from '../decoder/architecture.ts';

const gptneox: Architecture = {
  name: 'gptneox',
  describe: ({ keys }) => ({
    norm: 'layer',
    ropePairs: 'halves',
    activation: 'gelu',
    gate: 'none',
    block: keys.flag('use_parallel_residual', true) ? 'parallel' : 'sequential',
  }),
};

export default gptneox;
