/**
 * Ministral 3 (huggingface.co/mistralai): Llama with YaRN, and queries that grow with the logarithm of how often the
 * original context fits before them, so that attention to long prompts stays as sharp (arXiv 2501.19399).
 */
import type { Architecture } from '../decoder/architecture.ts';
import { readRope } from '../decoder/rope-scaling.ts';

const mistral3: Architecture = {
  name: 'mistral3',
  describe(header, tensors) {
    const { keys, contextLength } = header;
    const rope = readRope(header, tensors, {
      betaFast: keys.positive('rope.scaling.yarn_beta_fast', 32),
      betaSlow: keys.positive('rope.scaling.yarn_beta_slow', 1),
      logWeight: keys.positiveOrNone('rope.scaling.yarn_log_multiplier') ?? 0,
    });
    const temperature = keys.positiveOrNone('attention.temperature_scale');
    const originalContext = keys.count('rope.scaling.original_context_length', 2 ** 31, contextLength);
    return {
      rope: () => rope,
      queryScale:
        temperature === undefined
          ? undefined
          : (position) => 1 + temperature * Math.log(Math.floor(position / originalContext) + 1),
    };
  },
};

export default mistral3;
