/** `log:A`: A ln(n) keys, which by arXiv 2404.02690 is too few as n grows. */
import { type BudgetKind, checkParameters, clampKeys } from './budget.ts';

const log: BudgetKind = {
  kind: 'log',
  usage: 'log:A',
  meaning: 'A times ln(n) keys',
  create(parameters) {
    checkParameters('log:A', parameters, [{ name: 'A', from: 1e-9, to: 1e9 }]);
    const [factor] = parameters as [number];
    return { name: `log:${factor}`, keys: ({ n }) => clampKeys(factor * Math.log(n), n) };
  },
};

export default log;
