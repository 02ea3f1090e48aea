/**
 * A report as one HTML file: the style sheet, the script and the data are in it, and its content security policy lets
 * it ask no network for anything.
 */
import { deflateSync } from 'node:zlib';
import { pageBundle } from '../page-bundle.ts';

export interface Page {
  /** Folder of `report/browser` whose `main.tsx` draws the page. */
  name: string;
  title: string;
  /** A sentence for search results and previews. */
  description: string;
  /** What the page shows: `mount` of `report/browser/mount.tsx` gives it to the page. */
  data: unknown;
}

/** The page as the text of an HTML file. */
export async function renderPage({ name, title, description, data }: Page): Promise<string> {
  const { script, style } = await pageBundle(name);
  const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escapeHtml(description)}">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${style.replaceAll('</style', '<\\/style')}</style>
</head>
<body>
<div id="page"><noscript><p>This report draws itself with the script that is inside this file: allow scripts to see it.</p></noscript></div>
<script type="text/plain" id="data">${packData(data)}</script>
<script>${script.replaceAll('</script', '<\\/script')}</script>
</body>
</html>
`;
}

/** JSON, compressed, in base64: a third of its size, and nothing in it can end the script element. */
export const packData = (data: unknown): string => deflateSync(JSON.stringify(data), { level: 9 }).toString('base64');

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Text that is safe between tags and in attributes. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? '');
