/** Qwen 2 and 2.5 (arXiv 2407.10671): Llama with RoPE over halves, and biases of queries, keys and values. */
import type { Architecture } from '../decoder/architecture.ts';

const qwen2: Architecture = { name: 'qwen2', describe: () => ({ ropePairs: 'halves' }) };

export default qwen2;
