import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/errors.ts';
import { describeBudget } from './budget.conformance.ts';
import { maxKeys } from './budget.ts';
import fixed from './fixed.ts';
import fraction from './fraction.ts';
import { BUDGETS, parseBudget } from './index.ts';
import log from './log.ts';
import mass from './mass.ts';
import power from './power.ts';

describeBudget(fixed, { right: [[1], [256], [2 ** 31]], wrong: [[0], [-1], [1.5], [2 ** 31 + 1]] });
describeBudget(fraction, { right: [[1e-9], [0.1], [1 / 3], [1]], wrong: [[0], [-0.1], [1.01]] });
describeBudget(power, {
  right: [
    [1, 0],
    [1e-9, 0],
    [2, 0.6],
    [0.37, 0.8123456789],
    [1e9, 2],
  ],
  wrong: [
    [0, 0.5],
    [-1, 0.5],
    [1, -0.1],
    [1, 2.1],
  ],
});
describeBudget(log, { right: [[1e-9], [1], [12.5], [1e9]], wrong: [[0], [-1], [1e10]] });
describeBudget(mass, { right: [[0], [0.05], [1]], wrong: [[-0.01], [1.01]] });

describe('the keys of a budget', () => {
  it.for([
    ['fixed:256', 100, 100],
    ['fixed:256', 1000, 256],
    ['fraction:0.25', 1000, 250],
    ['fraction:0.25', 2, 1],
    ['power:2,0.5', 900, 60],
    ['power:0.001,0.5', 900, 1],
    ['log:10', 1, 1],
    ['log:10', 1000, 69],
    ['mass:0.05', 1000, 1000],
  ] as const)('%s of %i are %i', ([text, n, keys]) => {
    expect(maxKeys(parseBudget(text), { n, layer: 0, head: 0 })).toBe(keys);
  });
});

describe('parseBudget', () => {
  it.for(['', ' ', 'fixed', 'FIXED:3', 'best:3', ':3', 'fixed 3', 'fixed:3:4', '256', 'toString:1'])(
    'refuses %o',
    (text) => {
      const error = expectError('invalid-argument', () => parseBudget(text));
      expect(error.remedy).toContain('fixed:K');
    },
  );

  it.each(['fixed:x', 'power:2,', 'mass:a,b'])('says what was written where a number is none: %s', (text) => {
    expect(expectError('invalid-argument', () => parseBudget(text)).found).toBe(text);
  });

  it('names all kinds where it knows none of the name', () => {
    const { remedy, found } = expectError('invalid-argument', () => parseBudget('best:3'));
    expect(found).toBe('best:3');
    for (const { usage } of BUDGETS) expect(remedy).toContain(usage);
  });
});

describe('the list of budgets', () => {
  it('has each kind once', () => {
    expect(new Set(BUDGETS.map(({ kind }) => kind)).size).toBe(BUDGETS.length);
  });
});
