/** The most frequent words of a text in which frequency falls with rank (RULER: frequent words extraction). */
import type { Task } from './task.ts';
import { drawWords, shuffledBySeed } from './words.ts';

const REQUESTED = 3;
/** A word of rank r comes in proportion to r^-EXPONENT, as in RULER. */
const EXPONENT = 2;
/** Words that come at least once: of the last ranks there is less than one in any prompt. */
const RANKS = 150;
/** Words of the shortest text: enough that no two of the first ranks come equally often. */
const MIN_WORDS = 60;

const weights = Array.from({ length: RANKS }, (_, i) => (i + 1) ** -EXPONENT);
const total = weights.reduce((sum, weight) => sum + weight, 0);

const frequentWords: Task = {
  name: 'frequent-words',
  meaning: 'the three most frequent words of a text of invented words',
  hasDepth: false,
  draw({ random }) {
    const words = drawWords(RANKS, random);
    const order = random.below(2 ** 31);
    const list = (units: number) =>
      words.flatMap((word, rank) => {
        const times = Math.round(((MIN_WORDS + units) * (weights[rank] as number)) / total);
        return Array.from({ length: times }, () => word);
      });
    return {
      compose: (units, padding) =>
        `Below is a text in a foreign language. Watch which ${REQUESTED} of its words are the most frequent.\n\n` +
        `${padding}${shuffledBySeed(list(units), order).join(' ')}\n\n` +
        `Which ${REQUESTED} words are the most frequent in the text above?`,
      begin: `The ${REQUESTED} most frequent words of the text are:`,
      references: words.slice(0, REQUESTED),
    };
  },
};

export default frequentWords;
