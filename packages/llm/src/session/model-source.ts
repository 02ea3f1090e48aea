/** The names of models that this package knows by itself. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where the embedded model lies: in the package, or in the repository. */
const NANO_PATHS = ['../models/nano.gguf', '../../../../models/nano/nano.gguf'];

/** `nano` as the path of the embedded model; any other source as it is. */
export function modelSource(source: string): string {
  if (source !== 'nano') return source;
  const paths = NANO_PATHS.map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return paths.find((path) => existsSync(path)) ?? (paths[0] as string);
}
