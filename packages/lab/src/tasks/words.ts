/** Names, numbers and words that tasks are made of. */
import { createRandom, type Random } from '../numerics/random.ts';

/** The list in another order (Fisher and Yates). */
export function shuffled<T>(list: readonly T[], random: Random): T[] {
  const items = [...list];
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}

/** The list in the order of a number: the same for the same list, whatever was drawn before. */
export const shuffledBySeed = <T>(list: readonly T[], order: number): T[] => shuffled(list, createRandom(order));

const COLOURS = 'amber azure black bronze copper coral green grey ivory jade olive pink'.split(' ');
const ANIMALS = 'badger camel crane eagle fox goose heron horse lynx otter raven wolf'.split(' ');

/** Most names that `drawNames` gives. */
export const MAX_NAMES = COLOURS.length;

/** Names like `amber fox`. No word is in two of them: they are told apart by either of their words. */
export function drawNames(count: number, random: Random): string[] {
  const [colours, animals] = [shuffled(COLOURS, random), shuffled(ANIMALS, random)];
  return Array.from({ length: count }, (_, i) => `${colours[i]} ${animals[i]}`);
}

/** Different numbers of some digits. */
export function drawNumbers(count: number, digits: number, random: Random): string[] {
  return drawDistinct(count, () => {
    const rest = Array.from({ length: digits - 1 }, () => random.below(10)).join('');
    return `${1 + random.below(9)}${rest}`;
  });
}

const CONSONANTS = 'b d f g k l m n p r s t v z'.split(' ');
const VOWELS = 'a e i o u'.split(' ');

/** Different words of an invented language, three syllables each: `marito`. */
export function drawWords(count: number, random: Random): string[] {
  const syllable = () => `${CONSONANTS[random.below(CONSONANTS.length)]}${VOWELS[random.below(VOWELS.length)]}`;
  return drawDistinct(count, () => syllable() + syllable() + syllable());
}

/** Different names of variables: four capital letters. */
export function drawVariables(count: number, random: Random): string[] {
  const letter = () => String.fromCharCode(65 + random.below(26));
  return drawDistinct(count, () => letter() + letter() + letter() + letter());
}

/** A list with `and` before its last item. */
export const joinWithAnd = (items: readonly string[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;

function drawDistinct(count: number, draw: () => string): string[] {
  const drawn = new Set<string>();
  while (drawn.size < count) drawn.add(draw());
  return [...drawn];
}
