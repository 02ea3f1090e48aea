/** All selectors. A new one is a file beside this one and an entry here. */
import createInt8Scan from './int8-scan.ts';
import createOracle from './oracle.ts';
import createQuest from './quest.ts';
import type { Selector } from './selector.ts';
import createSieve from './sieve.ts';
import createSignScan from './sign-scan.ts';
import createTwilight from './twilight.ts';
import createWindow from './window.ts';

export type { Sample, Selection, Selector } from './selector.ts';

export const SELECTORS: Readonly<Record<string, () => Selector>> = {
  'int8-scan': createInt8Scan,
  oracle: createOracle,
  quest: createQuest,
  sieve: createSieve,
  'sign-scan': createSignScan,
  twilight: createTwilight,
  window: createWindow,
};
