/** Llama 2 and 3 (arXiv 2302.13971, 2407.21783) and what is built like it: Mistral, SmolLM, TinyLlama. */
import type { Architecture } from '../decoder/architecture.ts';

const llama: Architecture = { name: 'llama', describe: () => ({}) };

export default llama;
