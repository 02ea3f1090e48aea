import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  faultOf,
  float32Bytes,
  sampleMetadata as metadata,
  sampleTensors as tensors,
  useTestFiles,
} from '../../test/gguf-files.ts';
import type { WrittenFile } from '../../test/gguf-writer.ts';
import { writeGguf } from '../../test/gguf-writer.ts';
import type { GgufTensor } from './header.ts';
import { openGguf } from './open.ts';

const files = useTestFiles();
const openWritten = async (file: WrittenFile) => openGguf(await files.save(writeGguf(file)));
const fault = async (file: WrittenFile) => faultOf(await files.save(writeGguf(file)));

describe('openGguf', () => {
  it.each([2, 3])('reads version %i', async (version) => {
    await using file = await openWritten({ version, metadata, tensors });
    expect(file.version).toBe(version);
    expect([...file.tensors.keys()].sort()).toEqual(['a', 'b', 'c']);
    expect(file.tensors.get('b')).toMatchObject({ type: 'Q4_0', dimensions: [64, 2], byteLength: 72 });
    expect(file.metadata.string('general.architecture')).toBe('llama');
    expect(file.metadata.number('llama.block_count')).toBe(2);
    expect(file.metadata.strings('tokenizer.ggml.tokens')).toEqual(['a', '\ufeff', '', 'é']);
    expect(file.metadata.numbers('tokenizer.ggml.scores')).toEqual(Float32Array.of(0, -1.5));
    expect(file.metadata.boolean('tokenizer.ggml.add_bos_token')).toBe(true);
    expect(file.metadata.get('big')).toBe(2n ** 63n);
  });

  it('reads tensors whole and by ranges', async () => {
    await using file = await openWritten({ metadata, tensors });
    for (const { name, data } of tensors) {
      const tensor = file.tensors.get(name);
      if (tensor === undefined || data === undefined) throw new Error(`no tensor ${name}`);
      expect(await file.read(tensor)).toEqual(data);
      expect(await file.read(tensor, { offset: 5, byteLength: 7 })).toEqual(data.slice(5, 12));
      expect(await file.read(tensor, { offset: data.length, byteLength: 0 })).toEqual(new Uint8Array(0));
      for (const range of [
        { offset: -1, byteLength: 2 },
        { offset: 0, byteLength: data.length + 1 },
        { offset: 0.5, byteLength: 1 },
        { offset: 0, byteLength: Number.NaN },
        { offset: 4, byteLength: -1 },
      ]) {
        await expect(file.read(tensor, range)).rejects.toMatchObject({ code: 'invalid-argument' });
      }
    }
  });

  it('holds a file without tensors, and one with another alignment', async () => {
    await using empty = await openWritten({ metadata });
    expect(empty.tensors.size).toBe(0);
    const alignment = ['general.alignment', { type: 'u32', value: 128 }] as const;
    await using aligned = await openWritten({ metadata: [alignment], tensors, alignment: 128 });
    expect([...aligned.tensors.values()].map((tensor) => tensor.offset % 128)).toEqual([0, 0, 0]);
    expect(await aligned.read(aligned.tensors.get('a') as never)).toEqual(tensors[0]?.data);
  });

  it('reads a tensor past 4 GiB', async () => {
    const far = 5 * 2 ** 30;
    const path = await files.save(
      writeGguf({
        tensors: [
          { name: 'filler', type: 'I8', dimensions: [far] },
          { name: 'far', type: 'F32', dimensions: [2], offset: far },
        ],
      }),
    );
    const start = await dataStartOf(path);
    await truncate(path, start + far + 32);
    const handle = await open(path, 'r+');
    await handle.write(float32Bytes([8, 9]), 0, 8, start + far);
    await handle.close();
    await using file = await openGguf(path);
    expect(await file.read(file.tensors.get('far') as never)).toEqual(float32Bytes([8, 9]));
    await truncate(path, 0);
  });

  it('says so where a tensor is larger than memory, and reads on', async () => {
    const huge = 2 ** 40;
    const path = await files.save(writeGguf({ tensors: [{ name: 'huge', type: 'I8', dimensions: [huge] }] }));
    await truncate(path, (await dataStartOf(path)) + huge); // sparse: takes no space
    await using file = await openGguf(path);
    const tensor = file.tensors.get('huge') as GgufTensor;
    await expect(file.read(tensor)).rejects.toMatchObject({ code: 'out-of-memory' });
    expect(await file.read(tensor, { offset: huge - 2, byteLength: 2 })).toEqual(new Uint8Array(2));
    await truncate(path, 0);
  });

  it('closes once, and reads no more after it', async () => {
    const file = await openWritten({ tensors });
    await file.close();
    await file.close();
    await expect(file.read(file.tensors.get('a') as never)).rejects.toMatchObject({ code: 'disposed' });
  });

  it('says so where the file becomes shorter after it was opened', async () => {
    const path = await files.save(writeGguf({ tensors }));
    await using file = await openGguf(path);
    await truncate(path, (file.tensors.get('c')?.offset as number) + 3);
    await expect(file.read(file.tensors.get('c') as never)).rejects.toMatchObject({ code: 'gguf-truncated' });
    expect(await file.read(file.tensors.get('a') as never)).toEqual(tensors[0]?.data);
  });
});

/** Where the tensors of a file begin that is still too short for them. */
async function dataStartOf(path: string): Promise<number> {
  const fault = await faultOf(path);
  return Number(/takes \d+ from (\d+)/.exec(fault.message)?.[1]);
}

describe('a path that is no GGUF file', () => {
  it('may not exist', async () => {
    const path = join(files.folder(), 'none.gguf');
    expect(await faultOf(path)).toMatchObject({ code: 'model-not-found', found: path });
    expect(await faultOf(join(await files.save('x'), 'below'))).toMatchObject({ code: 'model-not-found' });
  });

  it('may be a folder', async () => {
    const path = join(files.folder(), 'folder');
    await mkdir(path, { recursive: true });
    expect(await faultOf(path)).toMatchObject({ code: 'not-gguf', found: expect.stringContaining('a folder') });
  });

  it.each([
    ['', 'empty'],
    ['PK\u0003\u0004abc', 'zip'],
    ['<!DOCTYPE html><html>', 'HTML'],
    ['<html lang="en">', 'HTML'],
    ['version https://git-lfs.github.com/spec/v1\noid', 'LFS'],
    ['\u0010\0\0\0\0\0\0\0{"a": 1}', 'safetensors'],
    ['{"model_type": "llama"}', 'JSON'],
    ['lmgg\u0001', 'older'],
    ['MODEL', '4d 4f 44 45'],
  ])('may be another kind of file: %j', async (content, kind) => {
    expect(await faultOf(await files.save(content))).toMatchObject({
      code: 'not-gguf',
      found: expect.stringContaining(kind),
    });
  });

  it.each([0, 1, 4, 2 ** 31])('may be of a version that is not supported: %i', async (version) => {
    expect(await fault({ version, tensors })).toMatchObject({ code: 'unsupported-gguf-version', found: version });
  });

  it('may be big-endian', async () => {
    const error = await fault({ version: 0x03000000, tensors });
    expect(error).toMatchObject({ code: 'unsupported-gguf-version', remedy: expect.stringContaining('endian') });
  });

  it('may be one part of several, but not the first by its name', async () => {
    const error = await fault({ metadata: [['split.count', { type: 'u16', value: 3 }]], tensors });
    expect(error).toMatchObject({ code: 'gguf-split', remedy: expect.stringContaining('-00001-of-00003.gguf') });
  });
});

describe('a model in several files', () => {
  const part = (number: number, names: string[]) =>
    writeGguf({
      metadata: [
        ['split.no', { type: 'u16', value: number - 1 }],
        ['split.count', { type: 'u16', value: 2 }],
        ['general.name', { type: 'string', value: `part ${number}` }],
      ],
      tensors: tensors.filter(({ name }) => names.includes(name)),
    });
  const save = async (folder: string, parts: readonly Buffer[]) => {
    await mkdir(join(files.folder(), folder));
    const paths = [1, 2].map((number) => join(files.folder(), folder, `model-0000${number}-of-00002.gguf`));
    for (const [i, bytes] of parts.entries()) await writeFile(paths[i] as string, bytes);
    return paths as [string, string];
  };

  it('is opened by the first of them', async () => {
    const [first, second] = await save('split', [part(1, ['a', 'c']), part(2, ['b'])]);
    await using file = await openGguf(first);
    expect(file.path).toBe(first);
    expect(file.metadata.string('general.name')).toBe('part 1');
    expect([...file.tensors.keys()].sort()).toEqual(['a', 'b', 'c']);
    for (const tensor of file.tensors.values()) {
      const written = tensors.find(({ name }) => name === tensor.name);
      expect(await file.read(tensor)).toEqual(written?.data);
    }
    expect((await faultOf(second)).code).toBe('gguf-split');
  });

  it.each([
    ['lacks one', [part(1, ['a'])], 'model-not-found'],
    ['has one twice', [part(1, ['a']), part(1, ['b'])], 'gguf-split'],
    ['has a tensor twice', [part(1, ['a']), part(2, ['a'])], 'gguf-invalid'],
  ] as const)('is refused where it %s', async (name, parts, code) => {
    const [first] = await save(name, parts);
    expect((await faultOf(first)).code).toBe(code);
  });
});
