import { describe, expect, it } from 'vitest';
import { quantizeScratchBytes } from '../kernels/quantized-kernels.ts';
import { createAttention } from './attention.ts';
import { attentionBytes } from './memory.ts';

describe('attentionBytes', () => {
  it.for([
    { layers: 3, keyValueHeads: 3, heads: 9, headDim: 64, precision: 'f16', capacity: 1000, threads: 2 },
    { layers: 2, keyValueHeads: 2, heads: 6, headDim: 64, precision: 'int8', capacity: 700, threads: 2 },
    { layers: 1, keyValueHeads: 1, heads: 8, headDim: 128, precision: 'f32', capacity: 130, threads: 1 },
  ] as const)('is what an attention of this size takes: %o', async (size) => {
    const { capacity, layers, keyValueHeads, heads, headDim } = size;
    await using attention = await createAttention(size);
    const { cache, cachePerToken, open, buffers: work } = attentionBytes(size, capacity);
    const without = attention.bytes;
    attention.cache.reserve(capacity);
    // A cache with pages has page tables, and one of their rows.
    const tables = (open === 0 ? 1 : 2) * Math.ceil((Math.ceil(capacity / 64) * 4) / 64) * 64;
    expect(attention.cache.bytes).toBe(cache + open + tables);
    expect(cache / cachePerToken).toBe(Math.ceil(capacity / 64) * 64);
    // The room for a page on its way into the encodings, and what the ends of blocks are rounded up to.
    const buffers = attentionBytes(size, 0).buffers;
    const staging = quantizeScratchBytes(headDim) + 64 * headDim * 4;
    expect(without).toBeGreaterThanOrEqual(buffers);
    expect(without).toBeLessThan(buffers + staging + 64 * 60);

    const rows = new Float32Array(capacity * keyValueHeads * headDim);
    for (let layer = 0; layer < layers; layer++) attention.cache.write(layer, 0, rows, rows);
    const queries = new Float32Array(capacity * heads * headDim);
    for (const policy of ['dense', 'window']) attention.attend({ layer: 0, position: 0, queries, policy: { policy } });
    // Its buffers are powers of two, of which what lies behind the last query is never touched.
    const exchange = attention.bytes - attention.cache.bytes - without;
    expect(exchange).toBeGreaterThanOrEqual(work - buffers);
    expect(exchange).toBeLessThanOrEqual(2 * (work - buffers));
  });
});
