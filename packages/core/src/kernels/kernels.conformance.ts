/**
 * What every implementation of the kernels must do, function by function, against float64 arithmetic written from the
 * definitions. The test of an implementation calls this with its factory, and nothing more.
 */
import { describe } from 'vitest';
import type { KernelsUnderTest } from '../../test/kernel-rig.ts';
import { describeAttention } from './conformance/attention.ts';
import { describeBounded } from './conformance/bounded.ts';
import { describeClasses } from './conformance/classes.ts';
import { describeFloat16 } from './conformance/float16.ts';
import { describeGathered } from './conformance/gathered.ts';
import { describeInt8Rows } from './conformance/int8-rows.ts';
import { describeQuantized } from './conformance/quantize.ts';
import { describeSamples } from './conformance/samples.ts';
import { describeScores } from './conformance/scores.ts';
import { describeStates } from './conformance/states.ts';
import { describeUndrawn } from './conformance/undrawn.ts';

export function describeKernels(kernels: KernelsUnderTest): void {
  describe(`${kernels.name} kernels, ${kernels.shared ? 'shared' : 'plain'} memory`, () => {
    describeFloat16(kernels);
    describeScores(kernels);
    describeStates(kernels);
    describeAttention(kernels);
    describeQuantized(kernels);
    describeClasses(kernels);
    describeSamples(kernels);
    describeUndrawn(kernels);
    describeGathered(kernels);
    describeBounded(kernels);
    describeInt8Rows(kernels);
  });
}
