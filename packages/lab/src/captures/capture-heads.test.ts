import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AttentionEvent, loadModel, type Model } from '@keysieve/llm';
import { type PolicySpec, policyEncodings } from 'keysieve';
import { float16ToFloat32, float32ToFloat16 } from 'keysieve/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchAttention } from '../bench/attention.ts';
import { relativeError } from '../numerics/attention.ts';
import { mean } from '../numerics/statistics.ts';
import { defaultFiller } from '../tasks/default-filler.ts';
import { captureHeads } from './capture-heads.ts';
import type { CapturedHead } from './captured-head.ts';
import { readCapture } from './read-capture.ts';
import { writeCapture } from './write-capture.ts';

const TOKENS = 700;
const LAST = 5;
const PLACES = [0, 1, 2, 3, 4, 5].map((layer) => ({ layer, keyValueHead: 0 }));
const NAMES = PLACES.map(({ layer }) => `l${layer}.g0`);

describe('captured heads of a model', () => {
  let model: Model;
  let folder: string;
  let text: { name: string; content: string };
  let heads: CapturedHead[];
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-capture-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 1024 });
    text = { name: 'licence', content: await defaultFiller() };
    heads = await captureHeads({ model, text, tokens: TOKENS, lastQueries: LAST, heads: PLACES });
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  it('have their names and shapes', () => {
    const { headDim, heads: queryHeads, keyValueHeads } = model.config;
    const group = queryHeads / keyValueHeads;
    for (const [i, name] of NAMES.entries()) {
      expect(heads[i]).toMatchObject({ name, headDim, n: TOKENS, group, lastQueries: LAST });
      expect(heads[i]?.keys).toHaveLength(TOKENS * headDim);
      expect(heads[i]?.values).toHaveLength(TOKENS * headDim);
      expect(heads[i]?.queries).toHaveLength(group * LAST * headDim);
    }
  });

  it('come back from a file as they were, in F32, and rounded, in F16', async () => {
    await writeCapture(file('f32'), heads, { type: 'F32', metadata: { model: 'nano' } });
    expect(await readCapture(file('f32'))).toEqual(heads);
    await writeCapture(file('f16'), heads);
    const rounded = (numbers: Float32Array | undefined) => numbers?.map((x) => float16ToFloat32(float32ToFloat16(x)));
    for (const [i, { name, keys, values, queries }] of (await readCapture(file('f16'))).entries()) {
      expect(name).toBe(heads[i]?.name);
      expect(keys).toEqual(rounded(heads[i]?.keys));
      expect(values).toEqual(rounded(heads[i]?.values));
      expect(queries).toEqual(rounded(heads[i]?.queries));
    }
  });

  it('are written as safetensors: an aligned header with names, types, shapes and offsets', async () => {
    await writeCapture(file('header'), heads, { metadata: { model: 'nano' } });
    const bytes = await readFile(file('header'));
    const length = Number(bytes.readBigUInt64LE(0));
    expect(length % 8).toBe(0);
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
    const { headDim } = model.config;
    expect(header.__metadata__).toEqual({ model: 'nano' });
    expect(header['l0.g0.k']).toEqual({
      dtype: 'F16',
      shape: [TOKENS, headDim],
      data_offsets: [0, 2 * TOKENS * headDim],
    });
    const ends = Object.values(header as Record<string, { data_offsets?: [number, number] }>).map(
      ({ data_offsets: offsets }) => offsets?.[1] ?? 0,
    );
    expect(Math.max(...ends)).toBe(bytes.length - 8 - length);
  });

  it.for(['topk', 'window', 'int8'])('have the errors with %s that the attention of the model has', async (policy) => {
    const spec: PolicySpec = { policy, budget: 'fixed:16' };
    const results = await benchAttention({ heads, policies: [spec], precision: 'f32' });
    const errors = await errorsInModel(spec);
    const captured = results[0]?.heads ?? [];
    expect(captured).toHaveLength(errors.size);
    for (const { name, head, outputError } of captured) {
      const inModel = errors.get(`${name} ${head}`) ?? [];
      expect(inModel).toHaveLength(LAST);
      // Float32 comes on top: the model's full attention is no float64.
      expect(Math.abs(outputError.mean - mean(inModel))).toBeLessThan(1e-3 * mean(inModel) + 1e-5);
    }
    // Some of the heads have an error to compare.
    expect(Math.max(...captured.map(({ outputError }) => outputError.mean))).toBeGreaterThan(1e-3);
  });

  /** Errors of a policy against full attention at the last positions, inside a session: by head and query head. */
  async function errorsInModel(policy: PolicySpec): Promise<Map<string, number[]>> {
    const { heads: queryHeads, keyValueHeads, headDim } = model.config;
    const group = queryHeads / keyValueHeads;
    const width = queryHeads * headDim;
    const errors = new Map<string, number[]>();
    await using session = await model.createSession({
      attention: { policy: 'dense' },
      encodings: policyEncodings(policy),
      cachePrecision: 'f32',
      denseFallback: false,
    });
    const onAttention = ({ layer, position, queries, outputs, attention }: AttentionEvent) => {
      for (let row = 0; row < queries.length / width; row++) {
        if (position + row < TOKENS - LAST) continue;
        const rows = queries.subarray(row * width, (row + 1) * width);
        const result = attention.attend({ layer, position: position + row, queries: rows, policy }).outputs;
        for (const place of PLACES.filter((each) => each.layer === layer)) {
          for (let member = 0; member < group; member++) {
            const at = (place.keyValueHead * group + member) * headDim;
            const truth = outputs.subarray(row * width + at, row * width + at + headDim);
            const key = `l${layer}.g${place.keyValueHead} ${member}`;
            errors.set(key, [...(errors.get(key) ?? []), relativeError(result.subarray(at, at + headDim), truth)]);
          }
        }
      }
    };
    const tokens = Int32Array.from(model.tokenizer.encode(text.content)).subarray(0, TOKENS);
    for await (const _ of session.evaluate(tokens, { chunkTokens: 512, logits: false, onAttention }));
    return errors;
  }

  it('are one of each of six layers where none are named', async () => {
    const captured = await captureHeads({ model, text, tokens: 40, lastQueries: 1 });
    expect(captured.map(({ name }) => name)).toEqual(NAMES);
  });

  it('tell how far the reading is, and stop when they are told to', async () => {
    const seen: number[] = [];
    const options = { model, text, tokens: TOKENS, lastQueries: 1 };
    await captureHeads({ ...options, onProgress: (_, done, total) => seen.push(done / total) });
    expect(seen).toEqual([0, 512 / TOKENS, 1]);
    await expect(captureHeads({ ...options, signal: AbortSignal.abort() })).rejects.toThrow();
  });

  it.for([
    ['a text that is too short', { tokens: 1_000_000 }],
    ['a layer that the model has not', { heads: [{ layer: 6, keyValueHead: 0 }] }],
    ['a head that the model has not', { heads: [{ layer: 0, keyValueHead: 5 }] }],
    ['a head named twice', { heads: [PLACES[0], PLACES[0]] as typeof PLACES }],
    ['no heads', { heads: [] }],
    ['no queries', { lastQueries: 0 }],
    ['more queries than tokens', { lastQueries: 41 }],
  ])('are refused with %s', async ([, change]) => {
    const options = { model, text, tokens: 40, lastQueries: 1, ...(change as object) };
    await expect(captureHeads(options)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
