/** What the tasks of needles have in common: numbers with names, stated in running text. */
import { hideFacts } from './hide.ts';
import type { Draw, Question } from './task.ts';
import { drawNames, drawNumbers, listed } from './words.ts';

export interface Needles {
  /** Names that are asked for, and others of the same form that are not. */
  asked: number;
  others: number;
  /** Numbers of each name that is asked for. */
  values: number;
}

const DIGITS = 7;

/** A question for the numbers of names; the first number stands at `depth` where one is given, others anywhere. */
export function drawNeedles({ asked, others, values }: Needles, { random, filler }: Draw, depth?: number): Question {
  const names = drawNames(asked + others, random);
  const numbers = drawNumbers(asked * values + others, DIGITS, random);
  const facts = numbers.map((number, i) => ({
    name: names[i < asked * values ? Math.floor(i / values) : i - asked * values + asked] as string,
    number,
    place: i === 0 && depth !== undefined ? depth : random.uniform(),
  }));
  const hidden = facts.map(({ name, number, place }) => ({
    text: `Note that a secret number of ${name} is ${number}. `,
    place,
  }));
  const offset = random.below(filler.length);
  const about = listed(names.slice(0, asked));
  const references = numbers.slice(0, asked * values);
  const one = references.length === 1;
  const what = one ? 'the secret number' : `the ${references.length} secret numbers`;
  return {
    compose: (characters, padding) =>
      `In the text below some secret numbers are hidden. Keep them in mind: you will be asked for them.\n\n` +
      `${padding}${hideFacts(filler, offset, characters, hidden)}\n\n` +
      `What ${one ? 'is' : 'are'} ${what} of ${about} in the text above?${one ? '' : ' List all of them.'}`,
    begin: `In the text above ${what} of ${about} ${one ? 'is' : 'are:'}`,
    references,
  };
}
