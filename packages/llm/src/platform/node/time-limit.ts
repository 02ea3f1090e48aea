/** A limit of time for work that a model's file could make endless, such as matching its regular expressions. */
import { createContext, Script } from 'node:vm';

const context = createContext({ work: undefined as (() => void) | undefined });
const script = new Script('work()');

/**
 * Runs `work`, and ends it after a number of milliseconds: V8 then stops it in the middle of a loop or of a regular
 * expression. Throws `error()` where that happens, and what `work` throws.
 */
export function withTimeLimit<T>(milliseconds: number, work: () => T, error: () => Error): T {
  let result: { value: T } | undefined;
  context.work = () => {
    result = { value: work() };
  };
  try {
    script.runInContext(context, { timeout: milliseconds });
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT' ? error() : cause;
  } finally {
    context.work = undefined;
  }
  return (result as { value: T }).value;
}
