/** What every kind of budget must do. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/errors.ts';
import { type Budget, type BudgetContext, type BudgetKind, maxKeys } from './budget.ts';
import { parseBudget } from './index.ts';

export interface BudgetSamples {
  /** Parameters that are right, the smallest and the largest among them. */
  right: readonly (readonly number[])[];
  /** Parameters out of their range. */
  wrong: readonly (readonly number[])[];
}

/** Every length up to 3,000, and then some. */
const LENGTHS = [...Array.from({ length: 3000 }, (_, i) => i + 1), 8192, 32_768, 10 ** 6, 10 ** 6 + 1, 2 ** 31 - 1];

const at = (n: number) => ({ n, layer: 3, head: 5 });

/** What holds of the keys that any budget gives a head: each a whole number from 1 to n. Returns them. */
export function expectKeys(
  budget: Budget,
  head: Omit<BudgetContext, 'n'>,
  lengths: readonly number[] = LENGTHS,
): number[] {
  return lengths.map((n) => {
    const keys = maxKeys(budget, { ...head, n });
    if (!Number.isInteger(keys) || keys < 1 || keys > n) expect.fail(`${budget.name} of ${n}: ${keys}`);
    return keys;
  });
}

export function describeBudget(kind: BudgetKind, { right, wrong }: BudgetSamples): void {
  describe(`the budget ${kind.usage}`, () => {
    it.for(right)('%o: is a whole number of keys from 1 to n, that does not fall as n grows', (parameters) => {
      const budget = kind.create(parameters);
      const keys = expectKeys(budget, { layer: 3, head: 5 });
      for (const [i, each] of keys.entries()) {
        if (each < (keys[i - 1] ?? 0)) expect.fail(`${budget.name} of ${LENGTHS[i]}: ${each}, after ${keys[i - 1]}`);
      }
      if (budget.tailMass !== undefined) {
        expect(budget.tailMass).toBeGreaterThanOrEqual(0);
        expect(budget.tailMass).toBeLessThanOrEqual(1);
      }
    });

    it.for(right)('%o: reads back what it is called', (parameters) => {
      const budget = kind.create(parameters);
      const again = parseBudget(budget.name);
      expect(again.name).toBe(budget.name);
      expect(again.tailMass).toBe(budget.tailMass);
      for (const n of LENGTHS.slice(2990)) expect(maxKeys(again, at(n))).toBe(maxKeys(budget, at(n)));
      expect(parseBudget(` ${kind.kind}:${parameters.join(' , ')} `).name).toBe(budget.name);
    });

    it('refuses too few numbers, too many, and what is none', () => {
      const [some = []] = right;
      const texts = ['', ':', `:${some.join(',')},`, `:${some.join(',')},1`, ':x', ':,', `:${some.join(',')}x`, ':NaN'];
      for (const text of texts) {
        const error = expectError('invalid-argument', () => parseBudget(`${kind.kind}${text}`));
        expect(error.remedy).toContain(kind.usage);
        expect(error.found).toBeDefined();
      }
      for (const parameters of [
        [],
        [...some, 1],
        some.map(() => Number.NaN),
        some.map(() => Number.POSITIVE_INFINITY),
      ]) {
        expectError('invalid-argument', () => kind.create(parameters));
      }
    });

    it.for(wrong)('refuses %o', (parameters) => {
      const error = expectError('invalid-argument', () => kind.create(parameters));
      expect(error.found).toBe(parameters.join(', '));
      expectError('invalid-argument', () => parseBudget(`${kind.kind}:${parameters.join(',')}`));
    });

    it('is either a budget that holds, or refused, whatever the numbers', () => {
      const count = (right[0] ?? []).length;
      fc.assert(
        fc.property(fc.array(fc.double(), { minLength: count, maxLength: count }), fc.nat(2 ** 31), (parameters, n) => {
          let keys: number;
          try {
            keys = maxKeys(kind.create(parameters), at(n + 1));
          } catch (error) {
            expect(error).toMatchObject({ code: 'invalid-argument' });
            return;
          }
          expect(Number.isInteger(keys) && keys >= 1 && keys <= n + 1).toBe(true);
        }),
        { numRuns: 300, seed: 5 },
      );
    });

    it('says what it means', () => {
      expect(kind.usage.startsWith(`${kind.kind}:`)).toBe(true);
      expect(kind.meaning).not.toBe('');
    });
  });
}
