import { describe, expect, it } from 'vitest';
import { createBench } from '../../test/attention-bench.ts';
import { createRandom } from '../../test/random.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { createAttention } from './attention.ts';
import { type AttentionTrace, TRACE_PHASES, type TracePhase } from './trace.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 6, headDim: 32, capacity: 1500, encodings: ENCODINGS } as const;
const SIEVE = { policy: 'sieve', budget: 'fixed:100' };

/** The phases that each policy goes through, for one query or for a block of them. */
const CASES: readonly [string, { policy: string; budget?: string }, number, readonly TracePhase[]][] = [
  ['a step of the sieve', SIEVE, 1, ['scan', 'draw', 'score', 'exact', 'values', 'merge']],
  ['a block of a prompt', SIEVE, 64, ['scan', 'draw', 'exact', 'merge']],
  ['full attention', { policy: 'dense' }, 1, ['exact', 'merge']],
  ['an oracle', { policy: 'topk', budget: 'fixed:100' }, 1, ['scan', 'score', 'exact', 'merge']],
];

describe('a trace', () => {
  it.for(CASES)('of %s has its phases, which add up, and the outputs stay', async ([, policy, count, phases]) => {
    for (const threads of [1, 2]) {
      const traces: AttentionTrace[] = [];
      const traced = createBench(
        await createAttention({ ...SHAPE, threads, onTrace: (trace) => traces.push(trace) }),
        createRandom(3),
      );
      const plain = createBench(await createAttention({ ...SHAPE, threads: 1 }), createRandom(3));
      await using first = traced.attention;
      await using second = plain.attention;
      for (const bench of [traced, plain]) bench.append(1400);
      const queries = traced.queries(count, 2);
      const request = { layer: 0, position: 1400 - count, queries, policy, shareSamples: true };
      const names = new Set<string>();
      for (let round = 0; round < 3; round++) {
        const { outputs } = second.attend(request);
        const result = first.attend(request);
        for (const [i, x] of result.outputs.entries()) expect(Math.abs(x - (outputs[i] as number))).toBeLessThan(1e-3);
        const trace = traces[round] as AttentionTrace;
        expect(trace).toMatchObject({ layer: 0, position: 1400 - count, count });
        expect(trace.policy).toContain(policy.policy);
        expect(Object.keys(trace.milliseconds)).toEqual([...TRACE_PHASES]);
        for (const phase of TRACE_PHASES) if (trace.milliseconds[phase] > 0) names.add(phase);
        for (const ms of Object.values(trace.milliseconds)) expect(ms).toBeGreaterThanOrEqual(-1e-6);
      }
      expect(traces).toHaveLength(3);
      // Where there is another thread, it may have taken all tasks.
      expect([...names]).toEqual(expect.arrayContaining(threads === 1 ? [...phases, 'other'] : ['other']));
      expect(names.has('waiting')).toBe(threads > 1);
    }
  });
});
