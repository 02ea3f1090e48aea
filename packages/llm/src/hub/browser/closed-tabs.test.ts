/** A download into the browser's storage whose tab is closed; `scripts/close-tabs.ts` closes more of them. */
import { describe, expect, it } from 'vitest';
import { hasChromium } from '../../../../../scripts/browser/chromium.ts';
import { closeTabs } from '../../../test/closed-tabs.ts';

const MIB = 2 ** 20;

describe.skipIf(!hasChromium)('a download whose tab is closed', () => {
  it('goes on behind the last whole range, and has the right bytes', async () => {
    const { expected, found, closed, byteLength, sent } = await closeTabs(10 * MIB, [MIB, 7 * MIB]);
    expect(found).toBe(expected);
    expect(closed).toBe(2);
    // The second tab has fetched a whole range: without the journal, it were sent again.
    expect(sent).toBeLessThan(MIB + 7 * MIB + byteLength);
  });
});
