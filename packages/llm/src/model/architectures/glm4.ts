/** GLM-4 0414 (arXiv 2406.12793): norms before and after attention and MLP, gate and up projection in one matrix. */
import type { Architecture } from '../decoder/architecture.ts';

const glm4: Architecture = { name: 'glm4', describe: () => ({ normPlacement: 'both', gate: 'fused' }) };

export default glm4;
