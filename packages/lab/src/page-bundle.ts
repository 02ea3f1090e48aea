/** What runs in the page of a report: its script and style sheet, built with the package or made from the sources. */
import { readFile } from 'node:fs/promises';
import { packageFile } from './package-file.ts';

export interface PageBundle {
  script: string;
  style: string;
}

/** The bundle of the page in `report/browser/NAME`. */
export async function pageBundle(name: string): Promise<PageBundle> {
  if (import.meta.url.endsWith('.ts')) {
    const builder: { bundlePage(name: string): Promise<PageBundle> } = await import(
      packageFile('scripts/build-pages.mjs').href
    );
    return builder.bundlePage(name);
  }
  const [script, style] = await Promise.all(
    ['js', 'css'].map((extension) => readFile(packageFile(`dist/pages/${name}.${extension}`), 'utf8')),
  );
  return { script: script as string, style: style as string };
}
