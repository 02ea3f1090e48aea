/** Checks of arguments, for callers whose compiler does not check them. */
import { llmError } from './errors.ts';

/** Throws `invalid-argument` unless `isValid`; `expected` says what is, as in "a whole number from 1 on". */
export function checkArgument(name: string, value: unknown, isValid: boolean, expected: string): void {
  if (isValid) return;
  throw llmError({
    code: 'invalid-argument',
    problem: `${name} must be ${expected}.`,
    found: describe(value),
    remedy: 'Give such a value, or leave it out where it has a default.',
  });
}

export function checkOptions(name: string, options: unknown): asserts options is object {
  checkArgument(name, options, typeof options === 'object' && options !== null && !Array.isArray(options), 'an object');
}

export function checkOptional(name: string, value: unknown, isValid: (value: unknown) => boolean, expected: string) {
  checkArgument(name, value, value === undefined || isValid(value), expected);
}

export const isText = (value: unknown): value is string => typeof value === 'string';
export const isFunction = (value: unknown): boolean => typeof value === 'function';
export const isBoolean = (value: unknown): boolean => typeof value === 'boolean';
export const isPositiveInteger = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;

/** `signal` of an options object. */
export function checkSignal(signal: unknown): void {
  checkOptional('signal', signal, (value) => value instanceof AbortSignal, 'an AbortSignal');
}

/** One of a list of names. */
export function checkChoice(name: string, value: unknown, choices: readonly unknown[]): void {
  checkOptional(name, value, (each) => choices.includes(each), `one of ${choices.join(', ')}`);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80));
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? `an array of ${value.length}` : `an object (${value.constructor?.name ?? 'Object'})`;
}
