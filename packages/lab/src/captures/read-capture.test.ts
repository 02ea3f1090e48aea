import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCapture } from './read-capture.ts';

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keysieve-read-capture-'));
});
afterAll(() => rm(folder, { recursive: true }));

interface Written {
  shape: number[];
  dtype?: string;
  numbers: number[];
}

/** A safetensors file of float32 tensors. */
async function fileOf(tensors: Record<string, Written>, change: (bytes: Buffer) => Buffer = (bytes) => bytes) {
  let at = 0;
  const header: Record<string, object> = { __metadata__: { made: 'by a test' } };
  for (const [name, { shape, dtype = 'F32', numbers }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + numbers.length * 4] };
    at += numbers.length * 4;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const data = Object.values(tensors).map(({ numbers }) => Buffer.from(new Float32Array(numbers).buffer));
  const path = join(folder, `${files++}.safetensors`);
  await writeFile(path, change(Buffer.concat([length, text, ...data])));
  return path;
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i / 7);

const whole = (): Record<string, Written> => ({
  'a.k': { shape: [5, 8], numbers: range(40) },
  'a.v': { shape: [5, 8], numbers: range(40) },
  'a.q': { shape: [3, 2, 8], numbers: range(48) },
});

describe('captures', () => {
  it('are read as they were written', async () => {
    const [head, ...others] = await readCapture(await fileOf(whole()));
    expect(others).toEqual([]);
    expect(head).toMatchObject({ name: 'a', n: 5, headDim: 8, group: 3, lastQueries: 2 });
    expect(head?.queries).toEqual(Float32Array.from(range(48)));
    expect(head?.values).toEqual(Float32Array.from(range(40)));
  });

  it('that are not there, cut short anywhere, or no safetensors, are errors that say so', async () => {
    await expect(readCapture('/nowhere/capture')).rejects.toMatchObject({ code: 'file-not-found' });
    for (let bytes = 0; bytes < 700; bytes += 23) {
      const path = await fileOf(whole(), (file) => file.subarray(0, bytes));
      await expect(readCapture(path), `${bytes} bytes`).rejects.toMatchObject({ code: 'invalid-file' });
    }
    const garbled = await fileOf(whole(), (file) => Buffer.concat([file.subarray(0, 8), Buffer.alloc(file.length, 1)]));
    await expect(readCapture(garbled)).rejects.toMatchObject({ code: 'invalid-file' });
  });

  it.for([
    ['no heads', (tensors: Record<string, Written>) => delete tensors['a.k']],
    ['no values', (tensors: Record<string, Written>) => delete tensors['a.v']],
    [
      'a type that is not read',
      (tensors: Record<string, Written>) => Object.assign(tensors['a.q'] ?? {}, { dtype: 'I32' }),
    ],
    [
      'shapes that disagree',
      (tensors: Record<string, Written>) => Object.assign(tensors['a.v'] ?? {}, { shape: [8, 5] }),
    ],
    [
      'a shape of another size',
      (tensors: Record<string, Written>) => Object.assign(tensors['a.k'] ?? {}, { shape: [4, 8] }),
    ],
    [
      'more queries than keys',
      (tensors: Record<string, Written>) => Object.assign(tensors['a.q'] ?? {}, { shape: [1, 6, 8] }),
    ],
    ['a NaN', (tensors: Record<string, Written>) => tensors['a.k']?.numbers.fill(Number.NaN, 3, 4)],
  ] as const)('with %s are errors', async ([, spoil]) => {
    const tensors = whole();
    spoil(tensors);
    await expect(readCapture(await fileOf(tensors))).rejects.toMatchObject({ code: 'invalid-file' });
  });
});
