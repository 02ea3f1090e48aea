/**
 * A fact that is stated once among others of its kind, and asked for by beginning to state it again ("The number of
 * amber fox is"): what a model without instructions can do, and the embedded one was trained for.
 */
import type { Task } from './task.ts';
import { drawNames, drawNumbers } from './words.ts';

const recall: Task = {
  name: 'recall',
  meaning: 'a stated number, asked for by beginning its sentence',
  hasDepth: true,
  draw({ random, depth, filler, distractors }) {
    const names = drawNames(1 + distractors, random);
    const numbers = drawNumbers(1 + distractors, 5, random);
    const hidden = names.map((name, i) => ({
      text: `The number of ${name} is ${numbers[i]}. `,
      place: i === 0 ? depth : random.uniform(),
    }));
    const offset = random.below(filler.length);
    return {
      compose: (characters, padding) => padding + filler.hide(offset, characters, hidden),
      begin: `The number of ${names[0]} is `,
      references: numbers.slice(0, 1),
      // A digit with each, and a blank before them.
      answerTokens: 8,
    };
  },
};

export default recall;
