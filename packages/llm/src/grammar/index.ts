/** Answers that are held to a grammar. */
export { createGrammars, type GrammarConstraint, type GrammarSpec, type Grammars } from './grammars.ts';
