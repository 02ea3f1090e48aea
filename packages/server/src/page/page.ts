/** The page at `/`: load, caches, and a chat to try. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

export interface Page {
  html: string;
  /** Content-Security-Policy: its own script and style, and this server. */
  policy: string;
}

let page: Promise<Page> | undefined;

/** The page, read once. Its file lies beside this one, in the sources as in the package. */
export function readPage(): Promise<Page> {
  page ??= load();
  return page;
}

async function load(): Promise<Page> {
  const html = await readFile(new URL('./page.html', import.meta.url), 'utf8');
  const hash = (element: string) => {
    const [, text = ''] = new RegExp(`<${element}[^>]*>(.*?)</${element}>`, 's').exec(html) ?? [];
    return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  };
  const policy =
    `default-src 'none'; connect-src 'self'; script-src ${hash('script')}; style-src ${hash('style')}; ` +
    `base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  return { html, policy };
}
