/** `fixed:K`: the same number of keys at every length. */
import { type BudgetKind, checkParameters, clampKeys } from './budget.ts';

const fixed: BudgetKind = {
  kind: 'fixed',
  usage: 'fixed:K',
  meaning: 'K keys',
  create(parameters) {
    checkParameters('fixed:K', parameters, [{ name: 'K', from: 1, to: 2 ** 31, whole: true }]);
    const [keys] = parameters as [number];
    return { name: `fixed:${keys}`, keys: ({ n }) => clampKeys(keys, n) };
  },
};

export default fixed;
