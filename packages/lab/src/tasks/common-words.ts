/** The words of a list that come far more often than the others (RULER: common words extraction). */
import type { Task } from './task.ts';
import { drawWords, shuffledBySeed } from './words.ts';

const COMMON = 10;
/** How often common words come, and the others; in prompts shorter than `SHORT` tokens less often. */
const REPETITIONS = { long: [30, 3], short: [10, 1] } as const;
const SHORT_PROMPT = 4096;

const commonWords: Task = {
  name: 'common-words',
  meaning: 'the ten words of a list that come most often',
  hasDepth: false,
  draw({ random, length }) {
    const [often, rarely] = length < SHORT_PROMPT ? REPETITIONS.short : REPETITIONS.long;
    // A word takes more than a token, so there are enough for any prompt of this length.
    const words = drawWords(COMMON + Math.ceil(length / rarely), random);
    const common = words.slice(0, COMMON);
    const list = (units: number) => [
      ...common.flatMap((word) => Array.from({ length: often }, () => word)),
      // A unit is one more word of those that come seldom.
      ...Array.from({ length: units }, (_, i) => words[COMMON + Math.floor(i / rarely)] as string),
    ];
    const order = random.below(2 ** 31);
    return {
      compose: (units, padding) =>
        `Below is a list of words of a foreign language. ${COMMON} of them come much more often than the others. Keep ` +
        `these in mind.\n\n${padding}${shuffledBySeed(list(units), order).join(' ')}\n\n` +
        `Which ${COMMON} words come most often in the list above?`,
      begin: `The ${COMMON} words that come most often in the list are:`,
      references: common,
    };
  },
};

export default commonWords;
