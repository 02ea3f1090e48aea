/** What the tasks of needles have in common: numbers with names, stated in running text. */
import type { Draw, Question } from './task.ts';
import { drawNames, drawNumbers, joinWithAnd } from './words.ts';

export interface Needles {
  /** Names that are asked for, and others of the same form that are not. */
  requested: number;
  distractors: number;
  /** Numbers of each name that is asked for. */
  values: number;
}

const DIGITS = 7;

/** A question for the numbers of names; the first number stands at `depth` where one is given, others anywhere. */
export function drawNeedles(
  { requested, distractors, values }: Needles,
  { random, filler }: Draw,
  depth?: number,
): Question {
  const names = drawNames(requested + distractors, random);
  const numbers = drawNumbers(requested * values + distractors, DIGITS, random);
  const facts = numbers.map((number, i) => ({
    name: names[i < requested * values ? Math.floor(i / values) : i - requested * values + requested] as string,
    number,
    place: i === 0 && depth !== undefined ? depth : random.uniform(),
  }));
  const hidden = facts.map(({ name, number, place }) => ({
    text: `Note that a secret number of ${name} is ${number}. `,
    place,
  }));
  const offset = random.below(filler.length);
  const about = joinWithAnd(names.slice(0, requested));
  const references = numbers.slice(0, requested * values);
  const isSingle = references.length === 1;
  const subject = isSingle ? 'the secret number' : `the ${references.length} secret numbers`;
  return {
    compose: (characters, padding) =>
      `In the text below some secret numbers are hidden. Keep them in mind: you will be asked for them.\n\n` +
      `${padding}${filler.hide(offset, characters, hidden)}\n\n` +
      `What ${isSingle ? 'is' : 'are'} ${subject} of ${about} in the text above?${isSingle ? '' : ' List all of them.'}`,
    begin: `In the text above ${subject} of ${about} ${isSingle ? 'is' : 'are:'}`,
    references,
  };
}
