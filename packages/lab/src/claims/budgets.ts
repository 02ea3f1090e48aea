/** The numbers of keys that the claims are about. */

/** Exponents C of the budgets n^C. */
export const EXPONENTS = [0.3, 0.5, 0.7, 0.9] as const;

export const powerKeys = (n: number, exponent: number): number => Math.min(n, Math.ceil(n ** exponent));
export const logKeys = (n: number): number => Math.max(1, Math.min(n, Math.ceil(Math.log2(n))));

/** Numbers of keys that a row of n is measured at: a ladder of two steps an octave, the budgets above, and n. */
export function ladder(n: number): number[] {
  const steps = Array.from({ length: Math.floor(2 * Math.log2(n)) + 1 }, (_, i) => Math.round(2 ** (i / 2)));
  const budgets = [...EXPONENTS.map((exponent) => powerKeys(n, exponent)), logKeys(n)];
  return [...new Set([...steps, ...budgets, n])].filter((k) => k <= n).sort((a, b) => a - b);
}
