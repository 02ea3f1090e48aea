import { describe, expect, it } from 'vitest';
import { fewKeys } from '../../test/few-keys.ts';
import { createAttention } from '../attention/attention.ts';
import { createVotes } from './votes.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 4, headDim: 16, capacity: 1200, precision: 'f32' } as const;
const WIDTH = SHAPE.heads * SHAPE.headDim;
/** Several parts, and one that has begun. */
const PROMPT = 700;

describe.for(['remains', 'remains-late'])('the policy %s', (policy) => {
  const spec = { policy, budget: 'fixed:30' };
  const text = fewKeys(SHAPE, SHAPE.capacity, 20);
  const queriesOf = (from: number, to: number) => text.queries.subarray(from * WIDTH, to * WIDTH);

  /** An attention that has been shown the prompt in pieces of `piece` tokens. */
  async function prepare(piece: number, keep = spec) {
    const attention = await createAttention(SHAPE);
    attention.cache.reserve(SHAPE.capacity);
    attention.cache.write(0, 0, text.keys, text.values);
    for (let from = 0; from < PROMPT; from += piece) {
      const queries = queriesOf(from, Math.min(PROMPT, from + piece));
      attention.observe({ layer: 0, position: from, queries, policies: [keep] });
    }
    attention.cache.commit(SHAPE.capacity);
    return attention;
  }

  it('is full attention where what it drops is a few different keys, in the prompt and after it', async () => {
    await using attention = await prepare(PROMPT);
    const request = { layer: 0, position: PROMPT, queries: queriesOf(PROMPT, SHAPE.capacity) };
    const { outputs, report } = attention.attend({ ...request, policy: spec });
    const full = attention.attend({ ...request, policy: { policy: 'dense' } });
    for (const [i, x] of outputs.entries()) expect(x).toBeCloseTo(full.outputs[i] as number, 3);
    expect(report.keysExact).toBeLessThan(0.3 * report.keys);
    expect(report.certificate).toBe('estimated');
    expect(report.tailMass.sum / report.rows).toBeGreaterThan(0.3);
    expect(report.goneAtLeast.sum).toBeLessThanOrEqual(report.tailMass.sum);
    expect(report.goneAtLeast.sum).toBeGreaterThan(0.98 * report.tailMass.sum);
  });

  it('gives the same however a prompt is cut into pieces', async () => {
    await using attention = await prepare(PROMPT);
    await using other = await prepare(61);
    const request = { layer: 0, position: PROMPT, queries: queriesOf(PROMPT, PROMPT + 40), policy: spec };
    expect(other.attend(request).outputs).toEqual(attention.attend(request).outputs);
  });
});

const headOf = (values: Float32Array) => ({ keys: () => values, values: () => values, queries: new Float32Array(0) });

describe('votes', () => {
  it('count for what surrounds a key, but not for the window, and by the norms of values', () => {
    const received = new Float64Array(52);
    received[10] = 3;
    received[19] = 1;
    received[20] = 9;
    const { worthOfPrompt, recentKeys } = createVotes({ name: 'votes' });
    const worth = worthOfPrompt({ received, heads: [headOf(new Float32Array(52).fill(5))] });
    expect([...worth.subarray(0, 22)]).toEqual([0, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 3, 3, 0, 0, 1, 1, 1, 1, 9, 0]);
    const values = new Float32Array(52);
    // Root mean square 1.
    values[10] = Math.sqrt(2);
    values[19] = -Math.sqrt(50);
    const byValues = worthOfPrompt({ received, heads: [headOf(values)] });
    expect(byValues[8]).toBeCloseTo(3 * Math.sqrt(2), 6);
    expect(byValues[17]).toBeCloseTo(Math.sqrt(50), 6);
    expect(byValues[20]).toBe(0);
    expect([recentKeys(100), recentKeys(20)]).toEqual([32, 20]);
  });
});
