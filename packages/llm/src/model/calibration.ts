/**
 * Remembers, in the cache folder, how far a precision's predictions are from those of `fp32`: measuring takes seconds.
 */
import { cacheStore } from '#platform';
import type { GgufFile } from '../gguf/index.ts';
import { readJson, writeJson } from '../io/store.ts';
import { fingerprintTensors, type MatmulPrecision } from '../onnx/index.ts';

/** How far the predictions of a precision are from exact ones. */
export interface Calibration {
  /** Mean KL divergence of the precision from `fp32`, in nats. */
  kl: number;
  /** Tokens that it was measured on. */
  tokens: number;
}

/** Part of the name of every calibration: raise it when other segments are built of the same file. */
const version = 2;

/** The measurement of a file's content, undefined where there is none. */
export async function readCalibration(
  gguf: GgufFile,
  precision: MatmulPrecision,
  cacheFolder: string | undefined,
): Promise<Calibration | undefined> {
  const name = await calibrationName(gguf, precision);
  const { kl, tokens } = ((await readJson(cacheStore(cacheFolder), name)) ?? {}) as Partial<Calibration>;
  if (!(Number.isFinite(kl) && (kl as number) >= 0)) return undefined;
  return Number.isSafeInteger(tokens) && (tokens as number) > 0 ? ({ kl, tokens } as Calibration) : undefined;
}

/** Keeps a measurement. Where the folder cannot be written it is lost, and measured again the next time. */
export async function writeCalibration(
  gguf: GgufFile,
  precision: MatmulPrecision,
  cacheFolder: string | undefined,
  calibration: Calibration,
): Promise<void> {
  await writeJson(cacheStore(cacheFolder), await calibrationName(gguf, precision), calibration);
}

async function calibrationName(gguf: GgufFile, precision: MatmulPrecision): Promise<string> {
  const content = await fingerprintTensors(gguf, {});
  return `calibrations/${content.slice(0, 40)}-${precision}-${version}.json`;
}
