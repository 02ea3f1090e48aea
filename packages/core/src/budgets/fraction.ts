/** `fraction:R`: a share of the keys. */
import { type BudgetKind, checkParameters, clampKeys } from './budget.ts';

const fraction: BudgetKind = {
  kind: 'fraction',
  usage: 'fraction:R',
  meaning: 'R times n keys',
  create(parameters) {
    checkParameters('fraction:R', parameters, [{ name: 'R', from: 1e-9, to: 1 }]);
    const [share] = parameters as [number];
    return { name: `fraction:${share}`, keys: ({ n }) => clampKeys(share * n, n) };
  },
};

export default fraction;
