/**
 * The suites that every variant of a kind must pass, and the benches that tests of variants are written with: for the
 * packages of this repository. It needs vitest and is not published.
 */
export * from '../test/attention-bench.ts';
export * from '../test/errors.ts';
export * from '../test/head-bench.ts';
export * from '../test/key-shapes.ts';
export * from '../test/plain-attention.ts';
export { createRandom as createTestRandom } from '../test/random.ts';
export * from '../test/variants.ts';
export * from '../test/weights-bench.ts';
export { attendByPolicy } from './attention/decode.ts';
export { describeBudget } from './budgets/budget.conformance.ts';
export { certify } from './certificates/certificate.ts';
export { describeEviction } from './evictions/eviction.conformance.ts';
export { normalizedOutputs, readLogSumExp } from './group/group-work.ts';
export {
  centreOf,
  int4Row,
  int8Row,
  type QuantizedKey,
  quantizedKey,
} from './kernels/quantized-rows.ts';
export { inverseRotate, rotate } from './kernels/rotation.ts';
export { describePolicies } from './policies/policy.conformance.ts';
export { describeSelector } from './selectors/selector.conformance.ts';
export { describeTail } from './tails/tail.conformance.ts';
