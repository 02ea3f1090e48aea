/** Reads the sizes of a mixture of experts (`expert_*`). */
import type { ModelHeader } from './config.ts';
import { invalidValue } from './model-keys.ts';
import type { ExpertTraits } from './traits.ts';

const MAX_EXPERTS = 2 ** 12;
const MAX_SIZE = 2 ** 24;

/** The experts of a file; undefined where it has none. They are SwiGLU MLPs whose weights add up to 1, unless said. */
export function readExperts({ keys, feedForwardSize }: ModelHeader): ExpertTraits | undefined {
  if (!keys.has('expert_count') || keys.positiveOrNone('expert_count') === undefined) return undefined;
  const count = keys.count('expert_count', MAX_EXPERTS);
  const used = keys.count('expert_used_count', MAX_EXPERTS);
  if (used > count) throw invalidValue(keys.name('expert_used_count'), used, `at most the ${count} experts`);
  return {
    count,
    used,
    feedForwardSize: keys.count('expert_feed_forward_length', MAX_SIZE, feedForwardSize),
    renormalized: true,
    swiglu: { alpha: 1, beta: 0 },
    sharedSize: undefined,
  };
}
