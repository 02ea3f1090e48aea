/** A plugin for Rolldown: LICENSES.txt, beside a bundle, has the licences of the packages whose code is in it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Context {
  emitFile(file: { type: 'asset'; fileName: string; source: string }): void;
}
type Bundle = Record<string, { type: string; modules?: Record<string, unknown> }>;

export function licenses(): {
  name: string;
  generateBundle(this: Context, options: unknown, bundle: Bundle): void;
} {
  return {
    name: 'licenses',
    generateBundle(_options, bundle) {
      const files = Object.values(bundle).flatMap(({ modules }) => Object.keys(modules ?? {}));
      const folders = files.map((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? '');
      const texts = [...new Set(folders)].filter((folder) => folder !== '').map(licenseOf);
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.sort().join('\n\n') });
    },
  };
}

function licenseOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = existsSync(folder) && readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `${license}, by its package.json.`;
  return `${name} ${version}\n\n${text}`;
}
