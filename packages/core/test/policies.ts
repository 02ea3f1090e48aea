/** A module of policies, as another package would register it: see `registry.test.ts`. */
import { threadId } from 'node:worker_threads';
import type { PolicyModule } from '../src/extend.ts';

const createPolicies: PolicyModule = ({ createNone, groupBudget, selectedPositions }) => [
  {
    kind: 'sparse',
    name: 'every-other',
    meaning: 'every other key, from the last one back',
    tail: createNone,
    selector: () => ({
      name: 'every-other',
      encodings: [],
      unit: 'group',
      certain: false,
      select(work, budget) {
        const count = Math.min(groupBudget(work, budget), Math.ceil(work.n / 2));
        const positions = selectedPositions(work);
        for (let i = 0; i < count; i++) positions[count - 1 - i] = work.n - 1 - 2 * i;
        // Tells the test which thread it was.
        return { count, bytesScanned: threadId };
      },
    }),
  },
];

export default createPolicies;
