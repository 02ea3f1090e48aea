/** Results as `keysieve eval` gives them, of an invented model: for tests of what is made from them. */

import type { PolicyEvaluation } from '../src/eval/compare-policies.ts';
import type { TextResult } from '../src/eval/evaluate-text.ts';
import { createRandom } from '../src/numerics/random.ts';
import type { TasksResult } from '../src/tasks/evaluate-tasks.ts';

const MODEL: TextResult['model'] = {
  model: 'invented',
  hash: 'ab'.repeat(32),
  context: 8192,
  precision: 'a8',
  cachePrecision: 'f16',
  scan: 'signs',
  threads: 2,
  version: '0',
};
const MACHINE = { processor: 'invented', threads: 2, load: 0.1 };
const DENSE = { policy: 'dense', budget: null };
const LAYERS = 6;
const BUDGETS = [64, 256, 1024];
/** For each policy its KL at one key, bytes that it scans, and bytes of a key that it reads. */
const POLICIES = { sieve: [2, 14, 0.05], quest: [30, 90, 0.2], window: [40, 0, 0.2] } as const;

export function evalFixture(): { text: TextResult; tasks: TasksResult } {
  const random = createRandom(3);
  const policies = Object.entries(POLICIES).flatMap(([policy, [level, bytesScanned, bytesPerExactKey]]) =>
    BUDGETS.map((keys): PolicyEvaluation => {
      const kl = level / keys;
      const error = Math.sqrt(kl);
      const figures = (factor: number) => ({
        outputError: { mean: error * factor, p95: 3 * error * factor },
        estimatedError: policy === 'sieve' ? { mean: error, max: 4 * error } : { mean: null, max: null },
        tailMass: { mean: 0.2, max: 1 },
        goneAtLeast: 0,
        certificate: 'estimated' as const,
        keysExact: keys,
        keysQuantized: 0,
        fullAttentionShare: 0,
        bytesPerKey: bytesScanned + bytesPerExactKey * keys,
      });
      return {
        policy,
        budget: `fixed:${keys}`,
        prefill: DENSE,
        nll: 3 + kl,
        deltaNll: kl,
        top1: 1 - Math.min(0.5, kl),
        kl: { mean: kl, p95: 4 * kl, interval: [0.7 * kl, 1.2 * kl] },
        ...figures(1),
        layers: Array.from({ length: LAYERS }, (_, layer) => ({ layer, ...figures(0.5 + random.uniform()) })),
      };
    }),
  );
  const text: TextResult = {
    model: MODEL,
    text: { name: 'book.txt', hash: 'cd'.repeat(32), offset: 0 },
    seed: 1,
    tokens: 4096,
    evalTokens: 96,
    auditTokens: 16,
    prefills: [DENSE],
    policies,
    dense: { nll: 3, bytesPerKey: 256 },
    times: {
      machine: MACHINE,
      prefills: [{ ...DENSE, ms: 30_000 }],
      steps: [
        { ...DENSE, msPerToken: 40, attentionMsPerToken: 30 },
        ...policies.map(({ policy, budget, keysExact }) => ({
          policy,
          budget,
          msPerToken: 20 + keysExact / 40,
          attentionMsPerToken: 10 + keysExact / 40,
        })),
      ],
    },
  };
  const score = (policy: string, length: number) => (policy === 'window' ? 0.25 : 1) * (length > 1024 ? 0.75 : 1);
  const tasks: TasksResult = {
    model: MODEL,
    filler: { name: 'licence', hash: 'ef'.repeat(32) },
    chat: true,
    seed: 1,
    tasks: ['needle', 'variables'],
    lengths: [1024, 2048],
    answers: [],
    times: [],
    policies: [DENSE, { policy: 'sieve', budget: 'fixed:256' }, { policy: 'window', budget: 'fixed:256' }].map(
      (spec) => {
        const byLength = { 1024: score(spec.policy, 1024), 2048: score(spec.policy, 2048) };
        return {
          ...spec,
          prefill: DENSE,
          score: (byLength[1024] + byLength[2048]) / 2,
          right: 3,
          prompts: 8,
          byLength,
          byTask: { needle: byLength, variables: { 1024: 0.5, 2048: 0 } },
          keysExact: { mean: 99, share: 0.1 },
          tailMass: 0.1,
          kind: 'estimated' as const,
        };
      },
    ),
  };
  return { text, tasks };
}
