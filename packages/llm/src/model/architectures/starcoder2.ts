/** StarCoder 2 (arXiv 2402.19173): layer norm, GELU without a gate, biases everywhere. */
import type { Architecture } from '../decoder/architecture.ts';

const starcoder2: Architecture = {
  name: 'starcoder2',
  describe: () => ({ norm: 'layer', ropePairs: 'halves', activation: 'gelu', gate: 'none' }),
};

export default starcoder2;
