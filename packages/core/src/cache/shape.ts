/** The sizes of a cache, and the checks on them. */
import { invariant } from '../errors.ts';
import {
  completeEncodings,
  ENCODINGS,
  type Encoding,
  type ExactPrecision,
  exactPageBytes,
  type PageLayout,
  PRECISIONS,
  type Precision,
  pageLayout,
} from '../kernels/layout.ts';
import { isScanBasis, type ScanBasis } from '../kernels/scan-basis.ts';
import { MAX_ARENA_BYTES } from './arena.ts';

export const MAX_HEAD_DIM = 256;

/** The sizes of a cache. */
export interface CacheShape {
  readonly layers: number;
  readonly keyValueHeads: number;
  /** Dimension of a head: a multiple of 8, at most 256. */
  readonly headDim: number;
  readonly precision: Precision;
  /** Encodings beside the exact rows, including those that they build on. */
  readonly encodings: readonly Encoding[];
}

type CacheShapeOptions = Omit<CacheShape, 'precision' | 'encodings'> & {
  [Name in 'precision' | 'encodings']?: CacheShape[Name] | undefined;
};

/** The shape of a cache, from what it is asked for: by default f16 without encodings. Throws `invalid-argument`. */
export function cacheShape({
  layers,
  keyValueHeads,
  headDim,
  precision = 'f16',
  encodings = [],
}: CacheShapeOptions): CacheShape {
  checkShape({ layers, keyValueHeads, headDim, precision, encodings });
  return { layers, keyValueHeads, headDim, precision, encodings: completeEncodings(encodings, precision) };
}

const layouts = new WeakMap<CacheShape, PageLayout>();

/** The layout of one head's page, computed once for a shape. */
export function layoutOf(shape: CacheShape): PageLayout {
  const cached = layouts.get(shape);
  if (cached !== undefined) return cached;
  const layout = pageLayout(shape.headDim, shape.precision, shape.encodings);
  layouts.set(shape, layout);
  return layout;
}

/** Bytes of a page of all layers and heads. */
export const slabBytesOf = (shape: CacheShape): number => shape.layers * shape.keyValueHeads * layoutOf(shape).bytes;

/** Precision of the rows of pages that are not full yet. */
export const openPrecision = ({ precision }: Pick<CacheShape, 'precision'>): ExactPrecision =>
  precision === 'int8' ? 'f32' : precision;

/** Bytes of the rows of an open page, all layers and heads, where they are not in the slabs; else 0. */
export const openBytesOf = ({ layers, keyValueHeads, headDim, precision }: CacheShape): number =>
  precision === 'int8' ? layers * keyValueHeads * exactPageBytes(headDim, 'f32') : 0;

/** Throws `invalid-argument` unless `value` is a positive whole number. */
export function checkPositiveInteger(name: string, value: number): void {
  invariant(Number.isSafeInteger(value) && value > 0, () => ({
    code: 'invalid-argument',
    problem: `${name} must be a positive integer.`,
    found: value,
    remedy: 'Give the number that the model states.',
  }));
}

/** Throws `invalid-argument` unless each head has a basis of its size, or undefined. */
export function checkScanBases(
  bases: readonly (ScanBasis | undefined)[],
  { layers, keyValueHeads, headDim }: CacheShape,
): void {
  const count = (3 * headDim) / 4;
  const fits = (basis: ScanBasis | undefined) => basis === undefined || isScanBasis(basis, headDim);
  invariant(bases.length === layers * keyValueHeads && bases.every(fits), () => ({
    code: 'invalid-argument',
    problem: `The bases of a scan are ${layers * keyValueHeads}, each of ${count} of the ${headDim} dimensions with a positive weight.`,
    found: `${bases.length} bases`,
    remedy: 'Give those of `scanBasisOf`, and undefined for the others.',
  }));
}

/** Throws `invalid-argument` where a cache of this shape cannot be. */
function checkShape(shape: CacheShape): void {
  checkPositiveInteger('layers', shape.layers);
  checkPositiveInteger('keyValueHeads', shape.keyValueHeads);
  checkPositiveInteger('headDim', shape.headDim);
  invariant(shape.headDim % 8 === 0 && shape.headDim <= MAX_HEAD_DIM, () => ({
    code: 'invalid-argument',
    problem: `The dimension of a head must be a multiple of 8 and at most ${MAX_HEAD_DIM}.`,
    found: shape.headDim,
    remedy: 'Pad the heads with zeros to the next multiple of 8.',
  }));
  invariant(PRECISIONS.includes(shape.precision), () => ({
    code: 'invalid-argument',
    problem: 'Unknown precision.',
    found: shape.precision,
    remedy: `Choose one of ${PRECISIONS.join(', ')}.`,
  }));
  const unknownEncoding = shape.encodings.find((encoding) => !ENCODINGS.includes(encoding));
  invariant(unknownEncoding === undefined, () => ({
    code: 'invalid-argument',
    problem: 'Unknown encoding.',
    found: unknownEncoding,
    remedy: `Choose from ${ENCODINGS.join(', ')}.`,
  }));
  const slabBytes = slabBytesOf(shape);
  invariant(slabBytes <= MAX_ARENA_BYTES, () => ({
    code: 'invalid-argument',
    problem: 'A page of keys and values of all layers and heads must fit into 4 GiB.',
    found: `${slabBytes} bytes for ${shape.layers} layers of ${shape.keyValueHeads} key-value heads`,
    remedy: 'Give the numbers that the model states.',
  }));
}

/** Positions are 32-bit integers. */
const MAX_CAPACITY = 2 ** 31 - 1;

/** Throws `invalid-argument` for a number of keys that no cache can hold. */
export function checkCapacity(capacity: number): void {
  checkPositiveInteger('capacity', capacity);
  invariant(capacity <= MAX_CAPACITY, () => ({
    code: 'invalid-argument',
    problem: `A cache holds at most ${MAX_CAPACITY} keys.`,
    found: capacity,
    remedy: 'Give the longest context that will be used.',
  }));
}
