/**
 * The bases of the sieve's scan, a head at a time: found once for a model, from a short text that is attended in full, and
 * kept in the store by the hash of its tensors.
 */
import type { ScanBasis } from 'keysieve';
import { chooseScanBasis, isScanBasis } from 'keysieve/engine';
import { cacheStore } from '#platform';
import { readJson, writeJson } from '../io/store.ts';
import { type ModelConfig, ropePartners, type TransformerSegments } from '../model/index.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { CALIBRATION_TEXT } from './calibration-text.ts';
import { runInFull } from './full-pass.ts';

/** Basis of each head of each layer, (layers, keyValueHeads); undefined: by signs. */
export type ScanBases = readonly (ScanBasis | undefined)[];

const MAX_TOKENS = 384;

/** Part of the name of what is kept: raise it when bases are chosen in another way. */
const VERSION = 1;

export interface ScanCalibrationParts {
  segments: TransformerSegments;
  tokenizer: Tokenizer;
  /** Hash of the tensors. */
  fingerprint: string;
  cacheFolder: string | undefined;
}

/** The bases of a model: those that are kept, else new ones. */
export async function scanBasesOf(parts: ScanCalibrationParts): Promise<ScanBases> {
  const store = cacheStore(parts.cacheFolder);
  const name = `scan-bases/${parts.fingerprint.slice(0, 40)}-${VERSION}.json`;
  const kept = readBases(await readJson(store, name), parts.segments.config);
  if (kept !== undefined) return kept;
  const bases = await calibrate(parts);
  await writeJson(store, name, { bases: bases.map((basis) => basis ?? null) });
  return bases;
}

/** Bases as they were kept; undefined where they are not those of this model's shape. */
function readBases(kept: unknown, { layers, keyValueHeads, headDim }: ModelConfig): ScanBases | undefined {
  const bases = (kept as { bases?: unknown } | undefined)?.bases;
  if (!Array.isArray(bases) || bases.length !== layers * keyValueHeads) return undefined;
  if (!bases.every((basis) => basis === null || isScanBasis(basis, headDim))) return undefined;
  return bases.map((basis) => basis ?? undefined);
}

/** Attends the text in full, and chooses the basis of every head on the way. */
async function calibrate({ segments, tokenizer }: ScanCalibrationParts): Promise<ScanBases> {
  const { config, context } = segments;
  const tokens = tokenizer.encode(CALIBRATION_TEXT, { special: false }).subarray(0, Math.min(MAX_TOKENS, context));
  const { layers, keyValueHeads, headDim, heads } = config;
  const group = heads / keyValueHeads;
  const partners = ropePartners(config);
  const bases: (ScanBasis | undefined)[] = new Array(layers * keyValueHeads).fill(undefined);
  await runInFull(segments, tokens, {
    logits: 'none',
    onLayer(layer, { q, k }, { readsAllKeys }) {
      for (let head = 0; head < keyValueHeads && !readsAllKeys; head++) {
        const keys = columns(k, keyValueHeads * headDim, head * headDim, headDim);
        const queries = columns(q, heads * headDim, head * group * headDim, group * headDim);
        bases[layer * keyValueHeads + head] = chooseScanBasis({ headDim, keys, queries, heads: group, partners });
      }
    },
  });
  return bases;
}

/** Columns [from, from + count) of rows of `width` numbers. */
function columns(rows: Float32Array, width: number, from: number, count: number): Float32Array {
  const result = new Float32Array((rows.length / width) * count);
  for (let row = 0; row * width < rows.length; row++) {
    result.set(rows.subarray(row * width + from, row * width + from + count), row * count);
  }
  return result;
}
