/** All selectors. A new one is a file beside this one and an entry here. */
import createOracle from './oracle.ts';
import type { Selector } from './selector.ts';
import createSieve from './sieve.ts';
import createWindow from './window.ts';

export type { Sample, Selection, Selector } from './selector.ts';

export const SELECTORS: Readonly<Record<string, () => Selector>> = {
  oracle: createOracle,
  sieve: createSieve,
  window: createWindow,
};
