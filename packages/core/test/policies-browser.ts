/** A policy that tells which thread it was, for tests in browsers: `bytesScanned` is 1 in a helper, and 0 in the owner. */
import type { PolicyModule } from '../src/extend.ts';

const createPolicies: PolicyModule = ({ createNone, groupBudget, selectedPositions }) => [
  {
    kind: 'sparse',
    name: 'first-keys',
    meaning: 'the first keys',
    tail: createNone,
    selector: () => ({
      name: 'first-keys',
      encodings: [],
      unit: 'group',
      certain: false,
      select(work, budget) {
        const count = groupBudget(work, budget);
        const positions = selectedPositions(work);
        for (let i = 0; i < count; i++) positions[i] = i;
        return { count, bytesScanned: 'document' in globalThis ? 0 : 1 };
      },
    }),
  },
];

export default createPolicies;
