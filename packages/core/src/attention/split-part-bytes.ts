/** Which policies are done in parts. */
import { certifiedPartBytes } from '../certificates/certified-parts.ts';
import type { SparseParts } from '../policies/policy.ts';

/** Bytes of a part of a group of `rows` rows of d numbers; undefined where a policy is not done in parts. */
export function splitPartBytes(policy: SparseParts, rows: number, headDim: number): number | undefined {
  const { certified, budget, step } = policy;
  if (certified !== undefined) return certified.atOnce ? certifiedPartBytes(rows, headDim) : undefined;
  return budget.tailMass === undefined ? step?.split.bytes(rows, headDim) : undefined;
}
