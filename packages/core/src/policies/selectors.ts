/** All selectors. A new one is a file beside this one and an entry here. */
import createInt8Scan from '../selectors/int8-scan.ts';
import createOracle from '../selectors/oracle.ts';
import createQuest from '../selectors/quest.ts';
import type { Selector } from '../selectors/selector.ts';
import createSignScan from '../selectors/sign-scan.ts';
import createTwilight from '../selectors/twilight.ts';
import createWindow from '../selectors/window.ts';
import createSieve from '../sieve/selector.ts';

export type { Selection, Selector, SieveSample } from '../selectors/selector.ts';

export const SELECTORS: Readonly<Record<string, () => Selector>> = {
  'int8-scan': createInt8Scan,
  oracle: createOracle,
  quest: createQuest,
  sieve: createSieve,
  'sign-scan': createSignScan,
  twilight: createTwilight,
  window: createWindow,
};
