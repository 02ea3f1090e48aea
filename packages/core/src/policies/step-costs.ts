/** What steps of decoding cost on a machine, and whether full attention is faster than a policy. */

/** Milliseconds of a step of one layer, all heads and threads together: constants, and rates by key. */
export interface StepCosts {
  dense: { fixed: number; perKey: number };
  /** `perKey` for each key that is scanned, `perSampled` for each key of the sample that a GQA group draws. */
  sieve: { fixed: number; perKey: number; perSampled: number };
  /**
   * A step that is certified by bounds: `perKey` for each key that they are computed for, `perRead` for each key that a
   * query head reads then.
   */
  certified: { fixed: number; perKey: number; perRead: number };
}

/** Whether reading all n keys is faster than a scan of them and a sample. */
export const fullIsFasterThanSieve = ({ dense, sieve }: StepCosts, n: number, sampleKeys: number): boolean =>
  dense.fixed + dense.perKey * n <= sieve.fixed + sieve.perKey * n + sieve.perSampled * Math.min(sampleKeys, n);

/** Whether reading all n keys is faster than bounding the scores of them. */
export const fullIsFasterThanBounds = ({ dense, certified }: StepCosts, n: number): boolean =>
  dense.fixed + dense.perKey * n <= certified.fixed + certified.perKey * n;

/**
 * The share of their keys that `heads` query heads may read at most so that a certified step is faster than reading all of
 * them once the bounds are there.
 */
export const maxCertifiedReadShare = ({ dense, certified }: StepCosts, heads: number): number =>
  certified.perRead > 0 ? Math.min(1, dense.perKey / (certified.perRead * heads)) : 1;
