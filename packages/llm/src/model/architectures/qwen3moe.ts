/** Qwen 3 with experts (arXiv 2505.09388): 128 of them, of which 8 serve a token. */
import type { Architecture } from '../decoder/architecture.ts';
import { readExperts } from '../decoder/read-experts.ts';

const qwen3moe: Architecture = {
  name: 'qwen3moe',
  describe: (header) => ({ ropePairs: 'halves', queryKeyNorm: { over: 'head' }, experts: readExperts(header) }),
};

export default qwen3moe;
