/** `power:ALPHA,C`: alpha * n^C keys, the law of arXiv 2404.02690. */
import { type BudgetKind, checkParameters, clampKeys } from './budget.ts';

const power: BudgetKind = {
  kind: 'power',
  usage: 'power:ALPHA,C',
  meaning: 'ALPHA times n^C keys',
  create(parameters) {
    checkParameters('power:ALPHA,C', parameters, [
      { name: 'ALPHA', from: 1e-9, to: 1e9 },
      { name: 'C', from: 0, to: 2 },
    ]);
    const [alpha, exponent] = parameters as [number, number];
    return { name: `power:${alpha},${exponent}`, keys: ({ n }) => clampKeys(alpha * n ** exponent, n) };
  },
};

export default power;
