/** Qwen 3 (arXiv 2505.09388): RMS norms of queries and keys by head in place of biases. */
import type { Architecture } from '../decoder/architecture.ts';

const qwen3: Architecture = {
  name: 'qwen3',
  describe: () => ({ ropePairs: 'halves', queryKeyNorm: { over: 'head' } }),
};

export default qwen3;
