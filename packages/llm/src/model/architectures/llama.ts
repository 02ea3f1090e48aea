/**
 * Llama 2 and 3 (arXiv 2302.13971, 2407.21783) and what is built like it: Mistral, SmolLM, TinyLlama, and Mixtral
 * (arXiv 2401.04088), whose MLPs are mixtures of experts.
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readExperts } from '../decoder/read-experts.ts';

const llama: Architecture = { name: 'llama', describe: (header) => ({ experts: readExperts(header) }) };

export default llama;
