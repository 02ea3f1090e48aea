/**
 * Phi-3, Phi-3.5 and Phi-4 mini (arXiv 2404.14219, 2503.01743): queries, keys and values in one matrix, gate and up
 * projection in another; longrope for long contexts. The window of Phi-3 mini is not used, as in llama.cpp.
 */
import type { Architecture } from '../decoder/architecture.ts';

const phi3: Architecture = { name: 'phi3', describe: () => ({ ropePairs: 'halves', gate: 'fused' }) };

export default phi3;
