/** The reader against @huggingface/gguf: the same file gives the same metadata and tensors. */
import { fileURLToPath } from 'node:url';
import { GGMLQuantizationType, gguf } from '@huggingface/gguf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import type { ScalarType, WrittenValue } from '../../test/gguf-writer.ts';
import { writeGguf } from '../../test/gguf-writer.ts';
import { sharedFile } from '../../test/shared.ts';
import type { GgufValue } from './metadata.ts';
import { openGguf } from './open.ts';
import type { GgmlType } from './types.ts';
import { ggmlBlock, ggmlTypes } from './types.ts';

const files = useTestFiles();

/** Both readers' values in one form: safe integers as numbers, typed arrays as arrays. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (ArrayBuffer.isView(value)) return [...(value as Uint8Array)].map(plain);
  return Array.isArray(value) ? value.map(plain) : value;
}

async function expectAgreement(path: string) {
  const oracle = await gguf(path, { allowLocalFile: true });
  await using file = await openGguf(path);
  const { version, kv_count, tensor_count, ...values } = oracle.metadata as unknown as Record<string, unknown>;
  expect(file.version).toBe(version);
  expect(BigInt(file.metadata.size)).toBe(kv_count);
  expect(BigInt(file.tensors.size)).toBe(tensor_count);
  expect([...file.metadata.entries()].map(([key, value]) => [key, plain(value)])).toEqual(
    Object.entries(values).map(([key, value]) => [key, plain(value)]),
  );
  expect(
    [...file.tensors.values()].map(({ name, type, dimensions, offset }) => ({ name, type, dimensions, offset })),
  ).toEqual(
    oracle.tensorInfos.map(({ name, dtype, shape, offset }) => ({
      name,
      type: GGMLQuantizationType[dtype],
      dimensions: shape.map(Number),
      offset: Number(oracle.tensorDataOffset + offset),
    })),
  );
}

const integers = (type: ScalarType, min: bigint, max: bigint) =>
  fc.bigInt({ min, max }).map((value) => ({ type, value }));
const scalars = {
  u8: integers('u8', 0n, 255n),
  i8: integers('i8', -128n, 127n),
  u16: integers('u16', 0n, 65_535n),
  i16: integers('i16', -32_768n, 32_767n),
  u32: integers('u32', 0n, 2n ** 32n - 1n),
  i32: integers('i32', -(2n ** 31n), 2n ** 31n - 1n),
  u64: integers('u64', 0n, 2n ** 64n - 1n),
  i64: integers('i64', -(2n ** 63n), 2n ** 63n - 1n),
  f32: fc.float().map((value) => ({ type: 'f32' as const, value })),
  f64: fc.double().map((value) => ({ type: 'f64' as const, value })),
  bool: fc.boolean().map((value) => ({ type: 'bool' as const, value })),
  string: fc.string({ unit: 'binary' }).map((value) => ({ type: 'string' as const, value })),
};
const scalarValue = fc.oneof(...Object.values(scalars));
const arrayValue = fc.constantFrom(...(Object.keys(scalars) as ScalarType[])).chain((of) =>
  fc.array<{ value: unknown }>(scalars[of], { maxLength: 8 }).map((items) => ({
    type: 'array' as const,
    of,
    value: items.map((item) => item.value as number),
  })),
);
const key = fc.stringMatching(/^[a-z]{1,8}\.[a-z_0-9]{1,8}$/);
const metadata = fc.uniqueArray(fc.tuple(key, fc.oneof(scalarValue, arrayValue)), {
  selector: ([name]) => name,
  maxLength: 12,
});
/** The types that the oracle's table of types knows, too. */
const types = ggmlTypes.filter((type) => type in GGMLQuantizationType);
const tensor = fc
  .tuple(fc.constantFrom(...types), fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }))
  .map(([type, [first = 1, ...rest]]: [GgmlType, number[]]) => ({
    type,
    dimensions: [first * ggmlBlock(type).elements, ...rest],
  }));

describe('openGguf agrees with @huggingface/gguf', () => {
  it('on arbitrary valid files', async () => {
    const file = fc.record({
      version: fc.constantFrom(2, 3),
      metadata,
      tensors: fc.array(tensor, { maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(file, async ({ version, metadata, tensors }) => {
        const named = tensors.map((each, i) => ({ ...each, name: `tensor ${i}` }));
        const path = await files.save(
          writeGguf({ version, metadata: metadata as [string, WrittenValue][], tensors: named }),
        );
        await expectAgreement(path);
      }),
      { numRuns: 300 },
    );
  }, 30_000);

  it('on the embedded model', async () => {
    await expectAgreement(fileURLToPath(new URL('../../../../models/nano/nano.gguf', import.meta.url)));
  });

  const model = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
  it.skipIf(model === undefined)('on SmolLM2-135M', async () => {
    await expectAgreement(model as string);
  });
});

describe('GgufMetadata', () => {
  const entries: [string, WrittenValue][] = [
    ['text', { type: 'string', value: 'a' }],
    ['count', { type: 'u64', value: 7 }],
    ['huge', { type: 'u64', value: 2n ** 60n }],
    ['nan', { type: 'f32', value: Number.NaN }],
    ['flag', { type: 'bool', value: false }],
    ['texts', { type: 'array', of: 'string', value: ['a'] }],
    ['counts', { type: 'array', of: 'i64', value: [-1, 2] }],
  ];

  async function opened() {
    const path = await files.save(writeGguf({ metadata: entries }));
    return openGguf(path);
  }

  it('gives a value of the kind that is asked for', async () => {
    await using file = await opened();
    const { metadata } = file;
    expect(metadata.string('text')).toBe('a');
    expect(metadata.number('count')).toBe(7);
    expect(metadata.boolean('flag')).toBe(false);
    expect(metadata.strings('texts')).toEqual(['a']);
    expect(metadata.numbers('counts')).toEqual([-1, 2]);
    expect(metadata.get('huge') satisfies GgufValue | undefined).toBe(2n ** 60n);
    expect(metadata.has('none')).toBe(false);
    expect(metadata.numberOr('none', 5)).toBe(5);
    expect(metadata.stringOr('none', undefined)).toBeUndefined();
    expect(metadata.booleanOr('flag', true)).toBe(false);
  });

  it('refuses a key that is absent, or of another kind, and names it', async () => {
    await using file = await opened();
    const { metadata } = file;
    const missing = expect.objectContaining({ code: 'metadata-missing', message: expect.stringContaining('"none"') });
    expect(() => metadata.string('none')).toThrow(missing);
    expect(() => metadata.numbers('none')).toThrow(missing);
    const wrong = [
      () => metadata.string('count'),
      () => metadata.number('text'),
      () => metadata.number('huge'),
      () => metadata.number('nan'),
      () => metadata.numberOr('text', 1),
      () => metadata.boolean('count'),
      () => metadata.strings('counts'),
      () => metadata.strings('text'),
      () => metadata.numbers('texts'),
      () => metadata.numbers('count'),
    ];
    for (const read of wrong) expect(read).toThrow(expect.objectContaining({ code: 'gguf-invalid' }));
  });
});
