/** What a page carries need not be more exact than what it shows. */

/** A copy with every number that is not whole to `digits` digits. */
export function roundNumbers<T>(value: T, digits = 3): T {
  if (typeof value === 'number') return (Number.isInteger(value) ? value : Number(value.toPrecision(digits))) as T;
  if (Array.isArray(value)) return value.map((inner) => roundNumbers(inner, digits)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, roundNumbers(inner, digits)])) as T;
}
