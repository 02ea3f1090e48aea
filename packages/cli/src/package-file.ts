/** Files that lie in the root of this package, seen from `src/` as from `dist/`: this module must stay one folder deep. */
export const packageFile = (name: string): URL => new URL(`../${name}`, import.meta.url);
