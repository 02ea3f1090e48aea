/** Draws docs/page-record.svg, the byte map of a page's record, from the layout that cache and kernels use. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  type Encoding,
  encodingBytes,
  exactPageBytes,
  PAGE_KEYS,
  pageLayout,
} from '../packages/core/src/kernels/layout.ts';

const HEAD_DIM = 64;
const CONTENTS: Record<'exact' | Encoding, string> = {
  exact: '64 keys, then 64 values, f16',
  sign: '64 × 64 sign bits, 64 factors, the centre',
  bounds: '64 keys of 8 bits, steps, bounds on errors and lengths',
  int4: '64 rows of a 4-bit key and value, their steps',
  int8: 'lower 4 bits of the keys, 64 error bounds',
  values: 'lower 4 bits of the values',
  summary: 'mean key, mean value, radius',
  minMax: 'minima and maxima of 4 × 16 keys',
};
const COLORS = ['#9ecae1', '#c7e9c0', '#c6dbef', '#fdd0a2', '#dadaeb', '#fcbba1', '#d9d9d9', '#fee391'];

const encodings = ['sign', 'bounds', 'int4', 'int8', 'values', 'summary', 'minMax'] as const;
const layout = pageLayout(HEAD_DIM, 'f16', encodings);
const parts = [
  { name: 'exact' as const, from: 0, bytes: exactPageBytes(HEAD_DIM, 'f16') },
  ...encodings.map((name) => ({ name, from: layout[name], bytes: encodingBytes(name, HEAD_DIM) })),
];

const WIDTH = 760;
const TOP = 44;
const ROW = 34;
const BAR = { x: 12, y: TOP, width: WIDTH - 24, height: 30 };
const scale = BAR.width / layout.bytes;
const count = (bytes: number) => bytes.toLocaleString('en-US');

const bar = parts.map(
  ({ from, bytes }, i) =>
    `<rect x="${(BAR.x + from * scale).toFixed(1)}" y="${BAR.y}" width="${(bytes * scale).toFixed(1)}" height="${BAR.height}" fill="${COLORS[i]}" stroke="#333" stroke-width=".7"/>`,
);
const rows = parts.map(({ name, from, bytes }, i) => {
  const y = TOP + BAR.height + 34 + i * ROW;
  return `<rect x="12" y="${y - 14}" width="18" height="18" fill="${COLORS[i]}" stroke="#333" stroke-width=".7"/>
<text x="40" y="${y}" font-weight="600">${name}</text>
<text x="120" y="${y}">${CONTENTS[name]}</text>
<text x="560" y="${y}" text-anchor="end">${count(from)}</text>
<text x="650" y="${y}" text-anchor="end">${count(bytes)}</text>
<text x="748" y="${y}" text-anchor="end">${(bytes / PAGE_KEYS).toFixed(1)}</text>`;
});
const height = TOP + BAR.height + 34 + parts.length * ROW;
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="14" fill="#222">
<title>The record of a page: ${PAGE_KEYS} keys of one head of ${HEAD_DIM} dimensions, with every encoding, ${count(layout.bytes)} bytes</title>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="12" y="28" font-size="15">The record of a page: ${PAGE_KEYS} keys of one head, d = ${HEAD_DIM}, exact rows in f16, every encoding</text>
<g>${bar.join('')}</g>
<text x="560" y="${TOP + BAR.height + 16}" text-anchor="end" font-size="12">offset</text>
<text x="650" y="${TOP + BAR.height + 16}" text-anchor="end" font-size="12">bytes</text>
<text x="748" y="${TOP + BAR.height + 16}" text-anchor="end" font-size="12">bytes a key</text>
${rows.join('\n')}
</svg>
`;
writeFileSync(fileURLToPath(new URL('../docs/page-record.svg', import.meta.url)), svg);
