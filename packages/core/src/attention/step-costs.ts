/** What steps cost on a machine, and which is faster: the rule of the guard, see `guard.ts`. */

/** What a step of one key-value head takes on one thread, in milliseconds: a constant and rates. */
export interface StepCosts {
  dense: { fixed: number; perKey: number };
  sieve: { fixed: number; perKey: number; perSampled: number };
}

/** Whether reading all n keys is faster than a scan of them and a sample. */
export const denseIsFaster = ({ dense, sieve }: StepCosts, n: number, sample: number): boolean =>
  dense.fixed + dense.perKey * n <= sieve.fixed + sieve.perKey * n + sieve.perSampled * Math.min(sample, n);
