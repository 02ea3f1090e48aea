/** Assignments in a chain, scattered over a long text (RULER: variable tracking). */
import type { Task } from './task.ts';
import { drawNumbers, drawVariables } from './words.ts';

/** Variables of the chain that is asked for: the first is given a number, each other one the variable before it. */
const CHAIN = 5;

const variables: Task = {
  name: 'variables',
  meaning: 'variables that are given a number through each other',
  hasDepth: false,
  draw({ random, filler }) {
    const names = drawVariables(CHAIN, random);
    const [number] = drawNumbers(1, 5, random);
    // In order, so that each assignment follows on the one that it needs.
    const places = names.map(() => random.uniform()).sort((a, b) => a - b);
    const hidden = names.map((name, i) => ({
      text: `LET ${name} = ${i === 0 ? number : names[i - 1]}. `,
      place: places[i] as number,
    }));
    const offset = random.below(filler.length);
    return {
      compose: (characters, padding) =>
        'In the text below variables are set: "LET AB = 7." gives AB the value 7, and "LET CD = AB." gives CD the ' +
        `value of AB. Keep track of them.\n\n${padding}${filler.hide(offset, characters, hidden)}\n\n` +
        `Which variables have the value ${number}, all ${CHAIN} of them, whether it was given to them directly or ` +
        'through others?',
      begin: `The ${CHAIN} variables with the value ${number} are:`,
      references: names,
    };
  },
};

export default variables;
