/** Every task that there is: a new one is a file that default-exports it, and an entry here. */
import { labError } from '../errors.ts';
import commonWords from './common-words.ts';
import frequentWords from './frequent-words.ts';
import needle from './needle.ts';
import needleKeys from './needle-keys.ts';
import needleQueries from './needle-queries.ts';
import needleValues from './needle-values.ts';
import recall from './recall.ts';
import type { Task } from './task.ts';
import variables from './variables.ts';

export { fitPrompt } from './fit.ts';
export { type Draw, type Question, scoreOf, type Task } from './task.ts';
export { MAX_NAMES } from './words.ts';

/** All tasks. */
export const TASKS: readonly Task[] = [
  recall,
  needle,
  needleKeys,
  needleValues,
  needleQueries,
  variables,
  commonWords,
  frequentWords,
];

/** The task of a name. Throws `invalid-argument`. */
export function taskOf(name: string): Task {
  const task = TASKS.find((each) => each.name === name);
  if (task !== undefined) return task;
  throw labError({
    code: 'invalid-argument',
    problem: 'Unknown task.',
    found: name,
    remedy: `Choose some of ${TASKS.map((each) => each.name).join(', ')}.`,
  });
}
