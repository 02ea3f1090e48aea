/** Reads the metadata keys that begin with the architecture's name (`llama.block_count`), checked. */
import { llmError } from '../../errors.ts';
import type { GgufMetadata } from '../../gguf/index.ts';

/** All throw `metadata-missing` for a key that is absent where no fallback is given, and `gguf-invalid` for bad values. */
export interface ModelKeys {
  /** The whole name of a key. */
  name(key: string): string;
  has(key: string): boolean;
  /** A whole number from 1 to `max`. */
  count(key: string, max: number, fallback?: number): number;
  /** One whole number from 1 to `max` for each layer, from an array or from one number that holds for all of them. */
  counts(key: string, layers: number, max: number, fallback?: number): readonly number[];
  /** A finite number above 0. */
  positive(key: string, fallback?: number): number;
  /** A finite number above 0; undefined where the key is absent or 0, by which files say that they do without. */
  positiveOrNone(key: string): number | undefined;
  text(key: string, fallback: string): string;
  flag(key: string, fallback: boolean): boolean;
  /** Whether something holds in each layer, from an array of truth values; undefined where the key is no such array. */
  flags(key: string, layers: number): readonly boolean[] | undefined;
}

export function readModelKeys(metadata: GgufMetadata, architecture: string): ModelKeys {
  const name = (key: string) => `${architecture}.${key}`;

  function number(key: string, fallback: number | undefined): number {
    return fallback === undefined ? metadata.number(name(key)) : metadata.numberOr(name(key), fallback);
  }

  function checkedCount(key: string, value: number, max: number): number {
    if (Number.isSafeInteger(value) && value > 0 && value <= max) return value;
    throw invalidValue(name(key), value, `a whole number from 1 to ${max}`);
  }

  function perLayer<T>(key: string, values: ArrayLike<T>, layers: number): readonly T[] {
    if (values.length >= layers) return Array.from(values).slice(0, layers);
    throw invalidValue(name(key), values.length, `an array of ${layers} values, one for each layer`);
  }

  function positive(key: string, fallback?: number): number {
    const value = number(key, fallback);
    if (Number.isFinite(value) && value > 0) return value;
    throw invalidValue(name(key), value, 'a number above 0');
  }

  return {
    name,
    has: (key) => metadata.has(name(key)),
    count: (key, max, fallback) => checkedCount(key, number(key, fallback), max),
    counts(key, layers, max, fallback) {
      const isArray = typeof metadata.get(name(key)) === 'object';
      const values = isArray ? metadata.numbers(name(key)) : new Array<number>(layers).fill(number(key, fallback));
      return perLayer(key, values, layers).map((value) => checkedCount(key, value, max));
    },
    positive,
    positiveOrNone: (key) => (number(key, 0) === 0 ? undefined : positive(key)),
    text: (key, fallback) => metadata.stringOr(name(key), fallback),
    flag: (key, fallback) => metadata.booleanOr(name(key), fallback),
    flags(key, layers) {
      const value = metadata.get(name(key));
      if (!Array.isArray(value)) return undefined;
      return perLayer(key, value, layers).map((item) => item === true);
    },
  };
}

/** The file says something that cannot be. */
export function invalidValue(key: string, found: number, expected: string) {
  return llmError({
    code: 'gguf-invalid',
    problem: `The metadata key ${JSON.stringify(key)} should be ${expected}.`,
    found,
    remedy: 'Fetch or convert the model again: its header contradicts itself.',
  });
}

/** The file says something that is not supported here. */
export function unsupported(problem: string, found: string) {
  return llmError({
    code: 'unsupported-architecture',
    problem,
    found,
    remedy: 'Use another model; `keysieve models` lists what can be run.',
  });
}
