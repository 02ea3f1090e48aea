/** The segments of whole models against a forward pass in double precision (test/reference-llama.ts). */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { naiveAttention } from '../../test/naive-attention.ts';
import { referenceForward } from '../../test/reference-llama.ts';
import { type TinyLlama, tiny, tinyLlama } from '../../test/tiny-llama.ts';
import { type GgmlType, openGguf } from '../gguf/index.ts';
import {
  inspectTransformerSegments,
  loadTransformerSegments,
  type SegmentLoadProgress,
  type TransformerSegments,
  type TransformerSegmentsOptions,
} from './transformer-segments.ts';

const files = useTestFiles();
const nano = fileURLToPath(new URL('../../../../models/nano/nano.gguf', import.meta.url));
const prompt = Int32Array.of(1, 299, 17, 4, 4, 250, 33, 90, 128, 7);
const vocabulary = tiny.vocabularySize;

interface Loaded {
  model: TransformerSegments;
  /** Logits of the reference: (tokens, vocabulary) */
  reference: (tokens: Int32Array) => Promise<Float64Array[]>;
}

async function withModel(
  options: TinyLlama & { path?: string; load?: Partial<TransformerSegmentsOptions> },
  test: (loaded: Loaded) => Promise<void>,
): Promise<void> {
  const path = options.path ?? (await files.save(tinyLlama(options)));
  await using gguf = await openGguf(path);
  await using model = await loadTransformerSegments(gguf, {
    precision: 'fp32',
    threads: 1,
    cacheFolder: join(files.folder(), 'cache'),
    ...options.load,
  });
  await test({ model, reference: (tokens) => referenceForward(gguf, model.config, [...tokens]) });
}

function maxDifference(a: Float32Array | undefined, b: ArrayLike<number> | undefined): number {
  if (a === undefined || b === undefined || a.length !== b.length) return Number.NaN;
  return a.reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] as number))), 0);
}

const rowOf = (logits: Float32Array | undefined, row: number, width = vocabulary) =>
  logits?.subarray(row * width, (row + 1) * width);

describe('a dense model', () => {
  const kinds: Record<string, TinyLlama> = {
    'float32 with a tied head': { matrices: 'F32', embedding: 'F32' },
    bfloat16: { matrices: 'BF16', embedding: 'BF16' },
    'float16 with a head of its own': { matrices: 'F16', embedding: 'F16', head: 'F16' },
    'Q4_1 with an 8-bit embedding': { matrices: 'Q4_1', embedding: 'Q8_0' },
    'Q4_K with Q6_K values and head': { matrices: 'Q4_K', values: 'Q6_K', embedding: 'Q4_K', head: 'Q6_K' },
    'Q5_1 with a float32 head': { matrices: 'Q5_1', embedding: 'Q5_0', head: 'F32' },
    'biases in the attention': { matrices: 'Q4_0', biases: true },
    'factors of the RoPE frequencies': { ropeFactors: true },
    'RoPE over half a head, positions scaled': {
      metadata: {
        'llama.rope.dimension_count': { type: 'u32', value: 32 },
        'llama.rope.scaling.type': { type: 'string', value: 'linear' },
        'llama.rope.scaling.factor': { type: 'f32', value: 4 },
      },
    },
  };
  it.each(Object.keys(kinds))('%s: has the logits of the reference', async (kind) => {
    await withModel(kinds[kind] as TinyLlama, async ({ model, reference }) => {
      const logits = await model.forward(prompt, 0, naiveAttention(model.config), { logits: 'all' });
      const expected = await reference(prompt);
      const scale = Math.max(...(expected.at(-1) as Float64Array).map(Math.abs));
      for (const [row, values] of expected.entries()) {
        expect(maxDifference(rowOf(logits, row), values)).toBeLessThan(5e-6 * scale);
      }
    });
  });

  it.each(['Q4_1', 'Q8_0'] as const satisfies GgmlType[])(
    'is near the reference with 8-bit activations: %s',
    async (type) => {
      await withModel(
        { matrices: type, embedding: 'Q8_0', load: { precision: 'a8' } },
        async ({ model, reference }) => {
          const logits = await model.forward(prompt, 0, naiveAttention(model.config));
          const expected = (await reference(prompt)).at(-1) as Float64Array;
          const scale = Math.max(...expected.map(Math.abs));
          expect(maxDifference(logits, expected)).toBeLessThan(0.05 * scale);
        },
      );
    },
  );

  it.each(['Q4_1', 'Q6_K'] as const satisfies GgmlType[])(
    'is near the reference where many rows meet 8-bit weights: %s',
    async (type) => {
      const metadata = { 'llama.context_length': { type: 'u32', value: 200 } } as const;
      const options = { matrices: type, embedding: 'Q8_0', metadata } as const;
      const tokens = Int32Array.from({ length: 140 }, (_, i) => (i * 37) % vocabulary);
      await withModel({ ...options, load: { precision: 'w8a8' } }, async ({ model, reference }) => {
        const logits = await model.forward(tokens, 0, naiveAttention(model.config), { logits: 'all' });
        for (const [row, expected] of (await reference(tokens)).entries()) {
          const scale = Math.max(...expected.map(Math.abs));
          expect(maxDifference(rowOf(logits, row), expected)).toBeLessThan(0.05 * scale);
        }
        // A few rows are as they are with 8-bit activations alone.
        const gemvLogits = await model.forward(prompt, 0, naiveAttention(model.config));
        await withModel({ ...options, load: { precision: 'a8' } }, async (a8) => {
          expect(gemvLogits).toEqual(await a8.model.forward(prompt, 0, naiveAttention(model.config)));
        });
      });
    },
  );

  it('runs the embedded model', async () => {
    await withModel({ path: nano }, async ({ model, reference }) => {
      const tokens = Int32Array.from(new TextEncoder().encode('The number of amber fox is 48213. The'));
      const logits = await model.forward(tokens, 0, naiveAttention(model.config));
      expect(maxDifference(logits, (await reference(tokens)).at(-1))).toBeLessThan(1e-4);
    });
  });

  it('gives the same logits in chunks, token by token and at once', async () => {
    await withModel({ matrices: 'Q4_1' }, async ({ model }) => {
      const whole = await model.forward(prompt, 0, naiveAttention(model.config));
      const chunked = naiveAttention(model.config);
      await model.forward(prompt.subarray(0, 6), 0, chunked, { logits: 'none' });
      expect(maxDifference(await model.forward(prompt.subarray(6), 6, chunked), whole)).toBeLessThan(1e-5);
      const single = naiveAttention(model.config);
      let last: Float32Array | undefined;
      for (const [i, token] of prompt.entries()) last = await model.forward(Int32Array.of(token), i, single);
      expect(maxDifference(last, whole)).toBeLessThan(1e-5);
    });
  });

  it('runs chunks of more rows than a block', async () => {
    const metadata = { 'llama.context_length': { type: 'u32', value: 200 } } as const;
    await withModel({ metadata }, async ({ model, reference }) => {
      const tokens = Int32Array.from({ length: 150 }, (_, i) => (i * 37) % vocabulary);
      const logits = await model.forward(tokens, 0, naiveAttention(model.config), { logits: 'all' });
      const expected = await reference(tokens);
      expect(logits?.length).toBe(150 * vocabulary);
      for (const row of [0, 127, 128, 149]) {
        expect(maxDifference(rowOf(logits, row), expected[row])).toBeLessThan(1e-4);
      }
    });
  });

  it('gives the logits that are asked for', async () => {
    await withModel({}, async ({ model }) => {
      const run = (logits: 'last' | 'all' | 'none' | { from: number }) =>
        model.forward(prompt, 0, naiveAttention(model.config), { logits });
      const all = (await run('all')) as Float32Array;
      expect(all.length).toBe(prompt.length * vocabulary);
      expect(await run('none')).toBeUndefined();
      expect(maxDifference(await run('last'), rowOf(all, prompt.length - 1))).toBeLessThan(1e-5);
      expect(maxDifference(await run({ from: 7 }), all.subarray(7 * vocabulary))).toBeLessThan(1e-5);
      for (const from of [-1, 10, 0.5]) await expect(run({ from })).rejects.toMatchObject({ code: 'invalid-argument' });
    });
  });

  it('runs tokens of several texts in one pass, each with the logits that it has alone', async () => {
    await withModel({ matrices: 'Q4_1' }, async ({ model }) => {
      const { heads, keyValueHeads, headDim } = model.config;
      const runs = [
        { tokens: prompt.subarray(0, 1), position: 5, logits: 'last' },
        { tokens: prompt.subarray(1, 5), position: 0, logits: 'none' },
        { tokens: prompt.subarray(5, 7), position: 40, logits: 'all' },
      ] as const;
      // What a token's attention gives depends on its own row alone, so that a run is alone in any pass.
      const repeat = (rows: number, v: Float32Array) =>
        Float32Array.from({ length: rows * heads * headDim }, (_, i) => {
          const row = Math.floor(i / (heads * headDim));
          return v[row * keyValueHeads * headDim + (i % (keyValueHeads * headDim))] as number;
        });
      const attend = (_: number, { k, v }: { k: Float32Array; v: Float32Array }) =>
        repeat(
          k.length / (keyValueHeads * headDim),
          v.map((x, i) => x + 0.1 * (k[i] as number)),
        );
      const together = await model.forwardRuns(runs, attend);
      expect(together.map((logits) => logits?.length)).toEqual([vocabulary, undefined, 2 * vocabulary]);
      for (const [i, { tokens, position, logits }] of runs.entries()) {
        const alone = await model.forward(tokens, position, attend, { logits });
        if (alone === undefined) expect(together[i]).toBeUndefined();
        else expect(maxDifference(together[i], alone)).toBeLessThan(1e-5);
      }
    });
  });

  it('asks for the attention of every layer, in order, with queries and keys after RoPE', async () => {
    await withModel({}, async ({ model }) => {
      const calledLayers: number[] = [];
      const { heads, keyValueHeads, headDim } = model.config;
      await model.forward(
        prompt,
        0,
        (layer, { q, k, v }) => {
          calledLayers.push(layer);
          expect(q.length).toBe(prompt.length * heads * headDim);
          expect([k.length, v.length]).toEqual(Array(2).fill(prompt.length * keyValueHeads * headDim));
          // Tokens 3 and 4 are equal: their values are, their keys are turned by their positions.
          const row = (values: Float32Array, at: number) =>
            values.slice(at * keyValueHeads * headDim).slice(0, headDim);
          if (layer === 0) {
            expect(maxDifference(row(v, 3), row(v, 4))).toBeLessThan(1e-6);
            expect(maxDifference(row(k, 3), row(k, 4))).toBeGreaterThan(1e-2);
          }
          return new Float32Array(q.length);
        },
        { logits: 'none' },
      );
      expect(calledLayers).toEqual([0, 1]);
    });
  });

  it('takes attention outputs in shared memory', async () => {
    await withModel({}, async ({ model }) => {
      const attend = naiveAttention(model.config);
      const shared = naiveAttention(model.config);
      const logits = await model.forward(prompt, 0, async (layer, projections) => {
        const output = await shared(layer, projections);
        const copy = new Float32Array(new SharedArrayBuffer(output.byteLength));
        copy.set(output);
        return copy;
      });
      expect(logits).toEqual(await model.forward(prompt, 0, attend));
    });
  });

  it('runs passes that overlap', async () => {
    await withModel({}, async ({ model }) => {
      const other = prompt.toReversed();
      const run = (tokens: Int32Array) => model.forward(tokens, 0, naiveAttention(model.config));
      const alone = [await run(prompt), await run(other)];
      expect(await Promise.all([run(prompt), run(other)])).toEqual(alone);
    });
  });

  it('stretches RoPE past the length that it was trained for', async () => {
    await withModel({ load: { context: 512 } }, async ({ model }) => {
      expect(model.context).toBe(512);
      await expect(model.forward(prompt, 502, naiveAttention(model.config))).resolves.toHaveLength(vocabulary);
      await expect(model.forward(prompt, 503, naiveAttention(model.config))).rejects.toMatchObject({
        code: 'prompt-too-long',
        found: '513 tokens',
      });
    });
  });
});

describe('what goes wrong', () => {
  const invalid: [string, Int32Array, number, string][] = [
    ['no tokens', new Int32Array(0), 0, 'invalid-argument'],
    ['a token past the vocabulary', Int32Array.of(1, vocabulary), 0, 'invalid-argument'],
    ['a token below zero', Int32Array.of(-1), 0, 'invalid-argument'],
    ['a position below zero', prompt, -1, 'invalid-argument'],
    ['half a position', prompt, 0.5, 'invalid-argument'],
    ['more tokens than the context', prompt, tiny.contextLength - prompt.length + 1, 'prompt-too-long'],
  ];
  it.each(invalid)('%s is refused before anything runs', async (_, tokens, position, code) => {
    await withModel({}, async ({ model }) => {
      const attend = () => expect.unreachable();
      await expect(model.forward(tokens, position, attend)).rejects.toMatchObject({ code });
      await expect(model.forward(prompt, 0, naiveAttention(model.config))).resolves.toHaveLength(vocabulary);
    });
  });

  it('attention outputs of another size, or not numbers, are refused', async () => {
    await withModel({}, async ({ model }) => {
      const short = model.forward(prompt, 0, (_, { q }) => new Float32Array(q.length - 1));
      await expect(short).rejects.toMatchObject({ code: 'invalid-argument', found: '2559 values' });
      const nan = model.forward(prompt, 0, (_, { q }) => new Float32Array(q.length).fill(Number.NaN));
      await expect(nan).rejects.toMatchObject({ code: 'not-a-number' });
    });
  });

  it('an error of the attention is passed on', async () => {
    await withModel({}, async ({ model }) => {
      const fault = new Error('cache full');
      const attend = () => {
        throw fault;
      };
      await expect(model.forward(prompt, 0, attend)).rejects.toBe(fault);
    });
  });

  it('a pass is aborted between segments, and the model stays usable', async () => {
    await withModel({}, async ({ model }) => {
      const abort = new AbortController();
      const layers: number[] = [];
      const pass = model.forward(
        prompt,
        0,
        (layer, { q }) => {
          layers.push(layer);
          abort.abort();
          return new Float32Array(q.length);
        },
        { signal: abort.signal },
      );
      await expect(pass).rejects.toMatchObject({ code: 'aborted' });
      expect(layers).toEqual([0]);
      await expect(model.forward(prompt, 0, naiveAttention(model.config))).resolves.toHaveLength(vocabulary);
    });
  });

  it('a model that was disposed of says so, also in the middle of a pass', async () => {
    await withModel({}, async ({ model }) => {
      const disposing = model.forward(prompt, 0, async (_, { q }) => {
        await model.dispose();
        return new Float32Array(q.length);
      });
      await expect(disposing).rejects.toMatchObject({ code: 'disposed' });
      await expect(model.forward(prompt, 0, naiveAttention(model.config))).rejects.toMatchObject({ code: 'disposed' });
      await model.dispose();
    });
    await withModel({}, async ({ model }) => {
      const disposedOf = expect(model.forward(prompt, 0, naiveAttention(model.config))).rejects;
      await model.dispose();
      await disposedOf.toMatchObject({ code: 'disposed' });
    });
  });

  it.each([{ threads: 0 }, { threads: 1.5 }, { context: 0 }, { context: Number.NaN }])(
    '%o is refused',
    async (load) => {
      await expect(withModel({ load }, async () => {})).rejects.toMatchObject({ code: 'invalid-argument' });
    },
  );

  it.each(['hash', 'build', 'load'] as const)('loading is aborted in %s', async (phase) => {
    const abort = new AbortController();
    const onProgress = (progress: SegmentLoadProgress) => {
      if (progress.phase === phase) abort.abort();
    };
    const load = { cacheFolder: join(files.folder(), `aborted-${phase}`), signal: abort.signal, onProgress };
    await expect(withModel({ load }, async () => {})).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('inspectDenseModel', () => {
  it('tells sizes from the header, and loads nothing', async () => {
    await using gguf = await openGguf(await files.save(tinyLlama({ matrices: 'Q4_1', embedding: 'Q8_0' })));
    const { config, memory } = inspectTransformerSegments(gguf, 'a8');
    expect(config).toMatchObject({
      ...tiny,
      tiedEmbeddings: true,
      ropeTheta: 10_000,
      ropeDimensions: 64,
      layerAttention: [{}, {}],
    });
    const blocks = (2 * (256 * 256 * 2 + 256 * 128 * 2 + 3 * 256 * 512)) / 32;
    const headBlocks = (256 * 300) / 32;
    // Codes, scales twice, their products with zero points, and offsets; the head has no offsets, and scales once more.
    expect(memory.packed).toBe(blocks * (16 + 4 + 4 + 4 + 4) + headBlocks * (32 + 4 + 4 + 4 + 4));
    // The embedding's codes and scales; the norms' gains.
    expect(memory.tables).toEqual([headBlocks * 32, headBlocks * 2]);
    expect(memory.mapped).toBe(5 * 256 * 4);
    // A byte for each weight, and a scale for each row; what follows the last attention is run for few rows only.
    const bytes = 2 * (256 * 256 + 2 * 256 * 128) + 256 * 256 + 3 * 256 * 512;
    const scales = 4 * (2 * (256 + 2 * 128) + 256 + 2 * 512 + 256);
    const w8a8 = inspectTransformerSegments(gguf, 'w8a8').memory;
    expect(w8a8.packed).toBe(memory.packed + bytes);
    expect(w8a8.mapped).toBe(memory.mapped + scales);
    expect(w8a8.segments).toBe((memory.segments / 3) * 5);
  });
});
