/**
 * The metadata of a GGUF file: keys and typed values, with getters that fail with an error that names the key.
 */
import { llmError } from '../errors.ts';
import { invalid, quoted } from './errors.ts';

/** Arrays of numbers are typed arrays where they fit one; 64-bit integers are numbers unless past 2^53. */
export type GgufArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | readonly (number | bigint)[]
  | readonly boolean[]
  | readonly string[]
  | readonly GgufArray[];

/** A value of the metadata of a GGUF file. */
export type GgufValue = string | number | bigint | boolean | GgufArray;

/** The key-value pairs of a GGUF file, with checked getters. */
export interface GgufMetadata {
  /** How many keys there are. */
  readonly size: number;
  has(key: string): boolean;
  /** The value as it was read, or undefined where the key is absent. */
  get(key: string): GgufValue | undefined;
  /** Key and value in the order of the file. */
  entries(): IterableIterator<[string, GgufValue]>;
  /**
   * The value of a key that must be there and of that kind. All of these throw `metadata-missing` where the key is
   * absent and `gguf-invalid` where the value is of another kind; `number` also where it is not finite or an integer
   * past 2^53. The forms that end in `Or` give `otherwise` for an absent key, and still refuse another kind.
   */
  string(key: string): string;
  stringOr<T>(key: string, fallback: T): string | T;
  number(key: string): number;
  numberOr<T>(key: string, fallback: T): number | T;
  boolean(key: string): boolean;
  booleanOr<T>(key: string, fallback: T): boolean | T;
  strings(key: string): readonly string[];
  numbers(key: string): ArrayLike<number>;
}

type Kind = 'string' | 'number' | 'boolean' | 'array of strings' | 'array of numbers';

export function createMetadata(values: ReadonlyMap<string, GgufValue>): GgufMetadata {
  function required(key: string): GgufValue {
    const value = values.get(key);
    if (value === undefined) {
      throw llmError({
        code: 'metadata-missing',
        problem: `The GGUF file has no metadata key ${quoted(key)}.`,
        remedy: 'Convert the model again with a current llama.cpp, or use a file for a supported architecture.',
      });
    }
    return value;
  }

  function string(key: string): string {
    const value = required(key);
    if (typeof value !== 'string') throw wrongKind(key, 'string', value);
    return value;
  }

  function number(key: string): number {
    const value = required(key);
    if (typeof value !== 'number') throw wrongKind(key, 'number', value);
    if (!Number.isFinite(value)) throw invalid(`The metadata key ${quoted(key)} is not a finite number.`, value);
    return value;
  }

  function boolean(key: string): boolean {
    const value = required(key);
    if (typeof value !== 'boolean') throw wrongKind(key, 'boolean', value);
    return value;
  }

  function strings(key: string): readonly string[] {
    const value = required(key);
    if (Array.isArray(value) && value.every((item): item is string => typeof item === 'string')) return value;
    throw wrongKind(key, 'array of strings', value);
  }

  function numbers(key: string): ArrayLike<number> {
    const value = required(key);
    if (ArrayBuffer.isView(value)) return value as Exclude<typeof value, DataView>;
    if (Array.isArray(value) && value.every((item): item is number => typeof item === 'number')) return value;
    throw wrongKind(key, 'array of numbers', value);
  }

  return {
    size: values.size,
    has: (key) => values.has(key),
    get: (key) => values.get(key),
    entries: () => values.entries(),
    string,
    stringOr: (key, fallback) => (values.has(key) ? string(key) : fallback),
    number,
    numberOr: (key, fallback) => (values.has(key) ? number(key) : fallback),
    boolean,
    booleanOr: (key, fallback) => (values.has(key) ? boolean(key) : fallback),
    strings,
    numbers,
  };
}

function wrongKind(key: string, kind: Kind, value: GgufValue) {
  return invalid(`The metadata key ${quoted(key)} is not a${kind.startsWith('a') ? 'n' : ''} ${kind}.`, kindOf(value));
}

function kindOf(value: GgufValue): string {
  if (typeof value === 'bigint') return `the integer ${value}, past 2^53`;
  if (ArrayBuffer.isView(value)) return `an array of ${value.length} numbers`;
  if (Array.isArray(value)) return `an array of ${value.length} values`;
  return `a ${typeof value}`;
}
