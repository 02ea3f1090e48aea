/** `mass:EPS`: as many keys as leave at most a share EPS of the softmax unread, up to all of them. */
import { type BudgetKind, checkParameters } from './budget.ts';

const mass: BudgetKind = {
  kind: 'mass',
  usage: 'mass:EPS',
  meaning: 'as many keys as leave at most EPS of the attention unread',
  create(parameters) {
    checkParameters('mass:EPS', parameters, [{ name: 'EPS', from: 0, to: 1 }]);
    const [tailMass] = parameters as [number];
    return { name: `mass:${tailMass}`, keys: ({ n }) => n, tailMass };
  },
};

export default mass;
