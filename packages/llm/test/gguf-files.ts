/**
 * GGUF files of a test in a folder of their own, and the error that opening one gives.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { LlmError } from '../src/errors.ts';
import { openGguf } from '../src/gguf/open.ts';
import type { WrittenTensor, WrittenValue } from './gguf-writer.ts';

export interface TestFiles {
  /** The folder, while the tests run. */
  folder(): string;
  /** Writes a file, in place of one of eight files before it, and gives its path. */
  save(bytes: Uint8Array | string): Promise<string>;
}

/** Makes the folder before the tests of a file and removes it after them. */
export function useTestFiles(): TestFiles {
  let folder = '';
  let count = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-gguf-'));
  });
  afterAll(() => rm(folder, { recursive: true }));
  return {
    folder: () => folder,
    async save(bytes) {
      const path = join(folder, `${count++ % 8}.gguf`);
      await writeFile(path, bytes);
      return path;
    },
  };
}

/** The error of opening a file; throws where it opens. */
export async function faultOf(path: string): Promise<LlmError> {
  try {
    const file = await openGguf(path);
    await file.close();
  } catch (error) {
    return error as LlmError;
  }
  throw new Error('the file was opened');
}

export const float32Bytes = (values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** A small file of every part: texts, numbers, lists, and tensors of two types. */
export const sampleTensors: readonly WrittenTensor[] = [
  { name: 'a', type: 'F32', dimensions: [3], data: float32Bytes([1, 2, 3]) },
  { name: 'b', type: 'Q4_0', dimensions: [64, 2], data: Uint8Array.from({ length: 72 }, (_, i) => i) },
  { name: 'c', type: 'F32', dimensions: [2, 1, 1, 2], data: float32Bytes([4, 5, 6, 7]) },
];
export const sampleMetadata: readonly (readonly [string, WrittenValue])[] = [
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['llama.block_count', { type: 'u32', value: 2 }],
  ['llama.rope.freq_base', { type: 'f32', value: 10_000 }],
  ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: ['a', '\ufeff', '', 'é'] }],
  ['tokenizer.ggml.scores', { type: 'array', of: 'f32', value: [0, -1.5] }],
  ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
  ['big', { type: 'u64', value: 2n ** 63n }],
];
