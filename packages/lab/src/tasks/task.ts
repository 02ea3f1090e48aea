/**
 * What a task is: a generator of questions about a long context whose answers are known. Everything follows from a seed.
 * The kinds of tasks are those of RULER (NVIDIA, arXiv 2404.06654); their texts are our own.
 */
import type { Random } from '../numerics/random.ts';
import type { Filler } from './filler.ts';

/** A kind of question about a long text, with its answers. */
export interface Task {
  /** In kebab case. */
  readonly name: string;
  /** What is asked, in some words. */
  readonly meaning: string;
  /** Whether its fact stands at a depth that is asked for. Else facts stand at random places. */
  readonly hasDepth: boolean;
  /** Draws a question. */
  draw(draw: Draw): Question;
}

export interface Draw {
  random: Random;
  /** Where the fact stands, in tokens: 0 at the beginning, 1 just before the question. Only looked at by tasks that place it. */
  depth: number;
  /** Running text, to hide facts in. */
  filler: Filler;
  /** Tokens that the prompt will have: what is repeated is repeated less often in short ones. */
  length: number;
  /** Facts that are not asked for, where a task lets the caller choose. */
  distractors: number;
}

export interface Question {
  /**
   * The prompt with some units of material, whatever a unit is: more of them make it longer. `padding` is text to put in
   * front of the material.
   */
  compose(units: number, padding: string): string;
  /** How the answer begins; the model goes on from there. */
  begin: string;
  /** What the answer must name. */
  references: readonly string[];
  /** Tokens of an answer. Default: twice those of the references, and a few for words. */
  answerTokens?: number;
}

/** Share of the references that an answer names: as words, in whatever case and order. */
export function scoreOf(answer: string, references: readonly string[]): number {
  const words = answer.toLowerCase();
  return references.filter((reference) => containsWord(words, reference.toLowerCase())).length / references.length;
}

/** Whether a text has a word that neither begins before it nor goes on behind it: 123 is not named by 51234. */
function containsWord(text: string, word: string): boolean {
  const inWord = (character: string | undefined) => character !== undefined && /[\p{L}\p{N}]/u.test(character);
  for (let at = text.indexOf(word); at !== -1; at = text.indexOf(word, at + 1)) {
    if (!inWord(text[at - 1]) && !inWord(text[at + word.length])) return true;
  }
  return false;
}
