/**
 * Remembers, in the cache folder, how far a model's fast predictions are from its exact ones: measuring takes seconds.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GgufFile } from '../gguf/index.ts';
import { cacheFolderPath, hashTensors } from '../onnx/index.ts';

export interface Calibration {
  /** Mean KL divergence of `fast` from `exact`, in nats. */
  kl: number;
  /** Tokens that it was measured on. */
  tokens: number;
}

/** Part of the name of every calibration: raise it when other segments are built of the same file. */
const version = 1;

/** What was measured on a file's content before, or undefined. */
export async function readCalibration(
  gguf: GgufFile,
  cacheFolder: string | undefined,
): Promise<Calibration | undefined> {
  const path = await calibrationPath(gguf, cacheFolder);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : parse(text);
}

/** Keeps a measurement. Where the folder cannot be written it is lost, and will be made again. */
export async function writeCalibration(
  gguf: GgufFile,
  cacheFolder: string | undefined,
  calibration: Calibration,
): Promise<void> {
  const path = await calibrationPath(gguf, cacheFolder);
  const part = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(part, JSON.stringify(calibration));
    await rename(part, path);
  } catch {
    await rm(part, { force: true }).catch(() => {});
  }
}

async function calibrationPath(gguf: GgufFile, cacheFolder: string | undefined): Promise<string> {
  const content = await hashTensors(gguf, {});
  return join(cacheFolderPath(cacheFolder), 'calibrations', `${content.slice(0, 40)}-${version}.json`);
}

function parse(text: string): Calibration | undefined {
  try {
    const { kl, tokens } = JSON.parse(text);
    return Number.isFinite(kl) && kl >= 0 && Number.isSafeInteger(tokens) && tokens > 0 ? { kl, tokens } : undefined;
  } catch {
    return undefined;
  }
}
