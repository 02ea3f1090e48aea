/**
 * The one error class of Keysieve. Every failure that a caller can meet has a `code` that programs can switch on,
 * the value that was found, and the way out; the message is built here from these three, and nowhere else.
 *
 * Packages that build on this one add their own codes, as a union for `Code`.
 */
export interface ErrorDetails<Code extends string> {
  /** What went wrong, stable across versions: programs switch on it. */
  code: Code;
  /** One sentence that says what went wrong, without the value found and without the remedy. */
  problem: string;
  /** The value that was found, as it should be printed. */
  found?: string | number | bigint | boolean | undefined;
  /** What the caller can do about it. */
  remedy: string;
  /** The error underneath, where there is one. */
  cause?: unknown;
}

/** An error that a caller can meet: what went wrong, the value found, the way out. */
export class KeysieveError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly found: string | number | bigint | boolean | undefined;
  readonly remedy: string;

  constructor({ code, problem, found, remedy, cause }: ErrorDetails<Code>) {
    // What others have said may end with a period.
    const value = found === undefined ? '' : ` Found: ${found}${/\S\.$/.test(String(found)) ? '' : '.'}`;
    super(`${problem}${value} ${remedy}`, cause === undefined ? undefined : { cause });
    // The name that abort errors have on the web.
    this.name = code === 'aborted' ? 'AbortError' : 'KeysieveError';
    this.code = code;
    this.found = found;
    this.remedy = remedy;
  }
}

/** Codes that this package throws. */
export const CORE_ERROR_CODES = [
  'invalid-argument',
  'not-a-number',
  'cache-out-of-memory',
  'cache-full',
  'disposed',
  'thread-failed',
  'aborted',
  'law-invalid',
  'law-version',
  'law-foreign',
] as const;
export type CoreErrorCode = (typeof CORE_ERROR_CODES)[number];

/** Errors with a code of their own each, so that a `switch` over the code narrows them. */
export type ErrorOf<Codes extends string> = { [Code in Codes]: KeysieveError<Code> }[Codes];

/** An error of this package. A `switch` over its code narrows it. */
export type CoreError = ErrorOf<CoreErrorCode>;

/** Whether something that was caught is a `KeysieveError` with one of these codes. */
export const hasErrorCode = <Code extends string>(error: unknown, codes: readonly Code[]): error is ErrorOf<Code> =>
  error instanceof KeysieveError && (codes as readonly string[]).includes(error.code);

/** Whether something that was caught is an error of this package, so that a `switch` over its code is checked. */
export const isCoreError = (error: unknown): error is CoreError => hasErrorCode(error, CORE_ERROR_CODES);

/** Throws a core error unless `condition` holds. */
export function invariant(condition: boolean, details: () => ErrorDetails<CoreErrorCode>): asserts condition {
  if (!condition) throw new KeysieveError(details());
}
