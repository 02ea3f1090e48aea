/** Models, texts and captures by the SHA-256 of their content, wherever a folder has them. */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hashFile, readPromptFile } from '@keysieve/llm';
import { sweepError } from './errors.ts';

/** Finds inputs. */
export interface Inputs {
  /** Path of the GGUF file with this hash; undefined where the folder has none. */
  modelPath(hash: string): Promise<string | undefined>;
  /** The text with this hash. Throws `input-missing`. */
  text(name: string, hash: string): Promise<string>;
  /** Path of the file of captures with this hash. Throws `input-missing`. */
  capturePath(name: string, hash: string): Promise<string>;
}

/** The inputs in a folder and in those below it. Files are hashed once, when the first one is looked for. */
export function inputsOf(folder: string | undefined): Inputs {
  const hashes = new Map<string, { key: string; hash: string }>();

  async function find(ending: RegExp, hash: string, hashOf: (path: string) => Promise<string>) {
    const entries = folder === undefined ? [] : await readdir(folder, { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      if (!ending.test(entry.name) || entry.isDirectory()) continue;
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = await stat(path);
      const key = `${size} ${mtimeMs}`;
      let hashed = hashes.get(path);
      if (hashed?.key !== key) {
        hashed = { key, hash: await hashOf(path) };
        hashes.set(path, hashed);
      }
      if (hashed.hash === hash) return path;
    }
    return undefined;
  }

  return {
    modelPath: (hash) => find(/\.gguf$/i, hash, (path) => hashFile(path, {})),
    async text(name, hash) {
      const path = await find(/./, hash, async (file) =>
        // Models are large, and no texts.
        /\.(gguf|safetensors)$/i.test(file) ? '' : sha256(await readFile(file)),
      );
      if (path !== undefined) return readPromptFile(path);
      throw missing(`The text ${name}`, hash);
    },
    async capturePath(name, hash) {
      const path = await find(/\.safetensors$/i, hash, async (file) => sha256(await readFile(file)));
      if (path !== undefined) return path;
      throw missing(`The file of captures ${name}`, hash);
    },
  };

  function missing(what: string, hash: string) {
    return sweepError({
      code: 'input-missing',
      problem: `${what} is not here.`,
      found: `no file with the SHA-256 ${hash} in ${folder ?? 'no folder'}`,
      remedy: 'Put it into the folder of --models.',
    });
  }
}

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');
