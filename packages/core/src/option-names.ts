/** Names of options, checked for callers whose compiler does not. */
import { invariant } from './errors.ts';

/** The names of an interface's options, as the compiler has checked them: none is left out, none is made up. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/**
 * Throws `invalid-argument` for an option that is not among `names`, with the nearest one that is: a misspelt option would
 * otherwise be its default without a word. `what` ends the sentence, as in "a session".
 */
export function checkOptionNames(what: string, options: object, names: Readonly<Record<string, true>>): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(names, name));
  invariant(unknown === undefined, () => ({
    code: 'invalid-argument',
    problem: `Unknown option of ${what}.`,
    found: (unknown as string).slice(0, 80),
    remedy: describeRemedy(unknown as string, Object.keys(names)),
  }));
}

/** Edits, as a share of the letters, up to which a name is taken for another one that is misspelt. */
const MISSPELT = 0.4;

function describeRemedy(unknown: string, names: readonly string[]): string {
  const [nearest] = names
    .map((name) => ({ name, edits: editDistance(name.toLowerCase(), unknown.slice(0, 80).toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  return nearest !== undefined && nearest.edits <= MISSPELT * nearest.name.length
    ? `Did you mean ${nearest.name}?`
    : `Use ${names.join(', ')}.`;
}

/** Levenshtein distance: letters to insert, delete or replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] as number) + (a[i] === b[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
