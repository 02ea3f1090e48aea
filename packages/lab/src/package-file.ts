import { readFileSync } from 'node:fs';

/** Files that lie in the root of this package, seen from `src/` as from `dist/`: this module must stay one folder deep. */
export const packageFile = (name: string): URL => new URL(`../${name}`, import.meta.url);

/** The version of this package. */
export const packageVersion = (): string =>
  (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;
