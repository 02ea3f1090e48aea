/** SmolLM 3 (huggingface.co/blog/smollm3): Llama without RoPE in every fourth layer (arXiv 2501.18795). */
import type { Architecture } from '../decoder/architecture.ts';
import { readRope } from '../decoder/rope-scaling.ts';

const smollm3: Architecture = {
  name: 'smollm3',
  describe(header, tensors) {
    const rope = readRope(header, tensors);
    return { rope: (layer) => (layer % 4 === 3 ? undefined : rope) };
  },
};

export default smollm3;
