import { copyFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { faultOf, sampleMetadata as metadata, sampleTensors as tensors, useTestFiles } from '../../test/gguf-files.ts';
import type { WrittenFile, WrittenTensor, WrittenValue } from '../../test/gguf-writer.ts';
import { writeGguf } from '../../test/gguf-writer.ts';
import { dequantizableTypes, dequantize } from './dequantize.ts';
import { requireFinite } from './finite.ts';
import type { GgufTensor } from './header.ts';
import { openGguf } from './open.ts';
import { type GgmlType, ggmlBlock, ggmlByteLength } from './types.ts';

const files = useTestFiles();
const fault = async (file: WrittenFile) => faultOf(await files.save(writeGguf(file)));

describe('a damaged GGUF file', () => {
  const whole = writeGguf({ metadata, tensors });

  it('is refused where it is cut at any byte', async () => {
    const lastTensorEnd = whole.length - 16; // c holds 16 of its 32 bytes
    for (let length = 0; length < lastTensorEnd; length++) {
      const { code, remedy } = await faultOf(await files.save(whole.subarray(0, length)));
      expect(code, `cut at ${length}`).toBe(length === 0 ? 'not-gguf' : 'gguf-truncated');
      expect(remedy).not.toBe('');
    }
    const file = await openGguf(await files.save(whole.subarray(0, lastTensorEnd)));
    await file.close();
  });

  it('is refused where a real model is cut at any of 60 places', async () => {
    const model = fileURLToPath(new URL('../../../../models/nano/nano.gguf', import.meta.url));
    const { byteLength, tensors } = await openGguf(model).then(async (file) => {
      await file.close();
      return file;
    });
    const dataStart = Math.min(...Array.from(tensors.values(), ({ offset }) => offset));
    const places = Array.from({ length: 30 }, (_, i) => [
      Math.floor((dataStart * (i + 1)) / 31),
      dataStart + Math.floor(((byteLength - dataStart) * i) / 30),
    ]).flat();
    const path = join(files.folder(), 'cut.gguf');
    await copyFile(model, path);
    for (const length of places.sort((a, b) => b - a)) {
      await truncate(path, length);
      expect((await faultOf(path)).code, `cut at ${length}`).toBe('gguf-truncated');
    }
  });

  it('is refused or read consistently where any byte is changed', async () => {
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      await expectTypedOrConsistent(changed);
    }
  }, 30_000);

  it('is refused or read consistently where bytes are overwritten, put in or taken out', async () => {
    const edit = fc.tuple(fc.nat(whole.length), fc.nat(12), fc.uint8Array({ maxLength: 12 }));
    await fc.assert(
      fc.asyncProperty(edit, async ([at, removed, inserted]) => {
        await expectTypedOrConsistent(Buffer.concat([whole.subarray(0, at), inserted, whole.subarray(at + removed)]));
      }),
      { numRuns: 1000 },
    );
  }, 30_000);

  async function expectTypedOrConsistent(bytes: Buffer) {
    const path = await files.save(bytes);
    try {
      await using file = await openGguf(path);
      for (const tensor of file.tensors.values()) {
        expect(tensor.offset + tensor.byteLength).toBeLessThanOrEqual(bytes.length);
        const slice = bytes.subarray(tensor.offset, tensor.offset + tensor.byteLength);
        expect(Buffer.from(await file.read(tensor)).equals(slice)).toBe(true);
      }
    } catch (error) {
      expect(error).toMatchObject({ name: 'KeysieveError', code: expect.any(String), remedy: expect.any(String) });
    }
  }
});

describe('a damaged tensor', () => {
  const file = (type: GgmlType, rowLength: number) =>
    writeGguf({
      tensors: [
        {
          name: 'w',
          type,
          dimensions: [rowLength, 3],
          data: Uint8Array.from({ length: ggmlByteLength(type, [rowLength, 3]) }, (_, i) => i % 101),
        },
      ],
    });

  it.each(dequantizableTypes)('is refused where one of %s is cut, or its rows end within a block', async (type) => {
    const { elements } = ggmlBlock(type);
    const whole = file(type, 2 * elements);
    await using opened = await openGguf(await files.save(whole));
    const { offset, byteLength } = opened.tensors.get('w') as GgufTensor;
    for (const kept of [0, 1, byteLength >> 1, byteLength - 1]) {
      expect((await faultOf(await files.save(whole.subarray(0, offset + kept)))).code).toBe('gguf-truncated');
    }
    if (elements > 1) {
      const dimensions = [elements + elements / 2, 2];
      expect((await fault({ tensors: [{ name: 'w', type, dimensions }] })).code).toBe('gguf-invalid');
    }
  });

  it.each(dequantizableTypes)('of %s, changed in any byte, is refused or gives numbers', async (type) => {
    const { elements } = ggmlBlock(type);
    const whole = file(type, elements);
    await using opened = await openGguf(await files.save(whole));
    const tensor = opened.tensors.get('w') as GgufTensor;
    const bytes = await opened.read(tensor);
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 127, 128, 255]) {
        const changed = bytes.slice();
        changed[at] = value;
        if (isRefused(tensor, changed)) refused++;
        else expect(dequantize(type, changed).every(Number.isFinite)).toBe(true);
      }
    }
    expect(refused).toBeLessThan(4 * bytes.length);
  });

  function isRefused(tensor: GgufTensor, bytes: Uint8Array): boolean {
    try {
      requireFinite(tensor, bytes);
      return false;
    } catch (error) {
      expect(error).toMatchObject({ code: 'not-a-number', found: expect.stringContaining(tensor.type) });
      return true;
    }
  }
});

describe('a header that contradicts itself', () => {
  const tensor = (change: Partial<WrittenTensor>): WrittenFile => ({
    tensors: [{ name: 'w', type: 'F32', dimensions: [8], ...change }],
  });

  it.each<[string, WrittenFile, string]>([
    ['a dimension of 0', tensor({ dimensions: [8, 0] }), 'gguf-invalid'],
    ['no dimensions', tensor({ dimensions: [] }), 'gguf-invalid'],
    ['five dimensions', tensor({ dimensions: [1, 1, 1, 1, 1] }), 'gguf-invalid'],
    ['rows of part of a block', tensor({ type: 'Q4_0', dimensions: [48, 2] }), 'gguf-invalid'],
    ['rows of part of a k-quant block', tensor({ type: 'Q6_K', dimensions: [576, 4] }), 'gguf-invalid'],
    ['dimensions past 2^64 in all', tensor({ dimensions: [2n ** 40n, 2n ** 40n] }), 'gguf-invalid'],
    ['a dimension of 2^63', tensor({ dimensions: [2n ** 63n] }), 'gguf-invalid'],
    ['a tensor larger than the file', tensor({ dimensions: [2n ** 40n] }), 'gguf-truncated'],
    ['an unknown type', tensor({ type: 99 }), 'unsupported-tensor-type'],
    ['a type that ggml has removed', tensor({ type: 4 }), 'unsupported-tensor-type'],
    ['an offset that is not aligned', tensor({ offset: 4 }), 'gguf-invalid'],
    ['an offset outside the file', tensor({ offset: 2 ** 40 }), 'gguf-invalid'],
    ['an offset of 2^64 - 32', tensor({ offset: 2n ** 64n - 32n }), 'gguf-invalid'],
    ['a tensor without a name', tensor({ name: '' }), 'gguf-invalid'],
    ['the same tensor twice', { tensors: [tensors[0] as WrittenTensor, tensors[0] as WrittenTensor] }, 'gguf-invalid'],
    [
      'tensors that overlap',
      {
        tensors: [
          { name: 'u', type: 'F32', dimensions: [16] },
          { name: 'v', type: 'F32', dimensions: [8], offset: 32 },
        ],
      },
      'gguf-invalid',
    ],
    ['the same key twice', { metadata: [metadata[1] as never, metadata[1] as never] }, 'gguf-invalid'],
    ['an empty key', { metadata: [['', { type: 'u8', value: 1 }]] }, 'gguf-invalid'],
    ['a truth value of 2', { metadata: [['k', { type: 'bool', value: 2 }]] }, 'gguf-invalid'],
    ['an alignment of 0', { metadata: [['general.alignment', { type: 'u32', value: 0 }]] }, 'gguf-invalid'],
    ['an alignment of 48', { metadata: [['general.alignment', { type: 'u32', value: 48 }]] }, 'gguf-invalid'],
    ['an alignment in words', { metadata: [['general.alignment', { type: 'string', value: '32' }]] }, 'gguf-invalid'],
    ['an alignment of NaN', { metadata: [['general.alignment', { type: 'f32', value: Number.NaN }]] }, 'gguf-invalid'],
    ['arrays that nest for ever', { metadata: [['k', nested(64)]] }, 'gguf-invalid'],
    ['a key of 2^16 bytes', { metadata: [['k'.repeat(65_536), { type: 'u8', value: 1 }]] }, 'gguf-invalid'],
  ])('is refused: %s', async (_, file, code) => {
    expect(await fault(file)).toMatchObject({ name: 'KeysieveError', code, remedy: expect.any(String) });
  });

  function nested(depth: number): WrittenValue {
    const inner: WrittenValue = { type: 'array', of: 'u8', value: [1] };
    return depth === 0 ? inner : { type: 'array', of: 'array', value: [nested(depth - 1)] };
  }

  it('is refused where text is not UTF-8', async () => {
    const bytes = writeGguf({ metadata: [['k', { type: 'string', value: 'wxyz' }]] });
    bytes[bytes.indexOf('wxyz')] = 0xc3;
    expect(await faultOf(await files.save(bytes))).toMatchObject({ code: 'gguf-invalid' });
  });
});

describe('an absurd size', () => {
  const sizes = [2n ** 20n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 60n, 2n ** 64n - 1n];
  const places: Record<string, (size: bigint) => Buffer> = {
    'count of tensors': (size) => writeGguf({ metadata, tensors, tensorCount: size }),
    'count of keys': (size) => writeGguf({ metadata, tensors, metadataCount: size }),
    'length of a key': (size) => withSize(writeGguf({ metadata, tensors }), 24, size),
    'length of a string': (size) => withSizeBefore('llama', size),
    'length of an array of strings': (size) => withSizeBefore('\u0001\0\0\0\0\0\0\0a', size),
    'length of an array of numbers': (size) => withSizeBefore('\0\0\0\0\0\0\xc0\xbf', size),
    'length of a tensor name': (size) => withSizeBefore('b\u0002\0\0\0', size),
  };

  function withSize(bytes: Buffer, at: number, size: bigint): Buffer {
    bytes.writeBigUInt64LE(size, at);
    return bytes;
  }

  /** Replaces the 8 bytes in front of the last place where the text stands. */
  function withSizeBefore(text: string, size: bigint): Buffer {
    const bytes = writeGguf({ metadata, tensors });
    const at = bytes.indexOf(Buffer.from(text, 'latin1'));
    expect(at).toBeGreaterThan(24);
    return withSize(bytes, at - 8, size);
  }

  describe.each(Object.keys(places))('as the %s', (place) => {
    it.each(sizes)('%s is refused at once in a small file', async (size) => {
      const bytes = places[place]?.(size) as Buffer;
      expect(await faultOf(await files.save(bytes))).toMatchObject({ code: 'gguf-truncated' });
    });

    it('2^27 is refused at once in a file that could hold it', async () => {
      const path = await files.save(places[place]?.(2n ** 27n) as Buffer);
      await truncate(path, 2 ** 33); // sparse: takes no space
      const before = process.memoryUsage().rss;
      const limit = expect.stringMatching(/more than \d+|past the limit|longer than \d+/);
      expect(await faultOf(path)).toMatchObject({ code: 'gguf-invalid', message: limit });
      expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 27);
      await truncate(path, 0);
    });
  });
});
