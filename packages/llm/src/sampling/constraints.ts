/** What restricts the tokens of an answer. */

/** Restricts which tokens may follow, as a grammar does. It belongs to one answer. */
export interface TokenConstraint {
  /** Sets the logits (vocabulary) of the tokens that may not follow to -Infinity. */
  mask(logits: Float32Array): void;
  /** Takes the token that was chosen, also one that ends the answer. */
  accept(token: number): void;
}

/** Constraints one after the other; undefined where there are none. */
export function combineConstraints(
  ...constraints: readonly (TokenConstraint | undefined)[]
): TokenConstraint | undefined {
  const present = constraints.filter((each) => each !== undefined);
  if (present.length <= 1) return present[0];
  return {
    mask(logits) {
      for (const each of present) each.mask(logits);
    },
    accept(token) {
      for (const each of present) each.accept(token);
    },
  };
}
