/** `mass:EPS`: keys until at most a share EPS of the softmax is unread, in the end all of them. */
import { type BudgetKind, checkParameters } from './budget.ts';

const mass: BudgetKind = {
  kind: 'mass',
  usage: 'mass:EPS',
  meaning: 'keys until at most EPS of the softmax is unread',
  create(parameters) {
    checkParameters('mass:EPS', parameters, [{ name: 'EPS', from: 0, to: 1 }]);
    const [tailMass] = parameters as [number];
    return { name: `mass:${tailMass}`, tailMass };
  },
};

export default mass;
