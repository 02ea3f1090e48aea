import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { escapeHtml, packData } from './page.ts';

describe('the page of a report', () => {
  it('carries data that cannot end its script element', () => {
    const data = { text: '</script><script>alert(1)</script><!--', n: [1, 2.5] };
    expect(packData(data)).not.toContain('<');
    expect(JSON.parse(inflateSync(Buffer.from(packData(data), 'base64')).toString())).toEqual(data);
  });

  it('escapes texts', () => {
    expect(escapeHtml('a < b & "c" > d')).toBe('a &lt; b &amp; &quot;c&quot; &gt; d');
  });
});
