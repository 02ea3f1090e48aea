/** Qwen 1.5 and 2 with experts (arXiv 2407.10671): weights that are not renormalized, and an expert for every token. */
import type { Architecture } from '../decoder/architecture.ts';
import { readExperts } from '../decoder/read-experts.ts';

const qwen2moe: Architecture = {
  name: 'qwen2moe',
  describe(header) {
    const experts = readExperts(header);
    const sharedSize = header.keys.count('expert_shared_feed_forward_length', 2 ** 24, header.feedForwardSize);
    return { ropePairs: 'halves', experts: experts && { ...experts, renormalized: false, sharedSize } };
  },
};

export default qwen2moe;
