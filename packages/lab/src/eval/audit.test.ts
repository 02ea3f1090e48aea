import type { AttentionEvent } from '@keysieve/llm';
import { type Attention, createAttention } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { relativeError } from '../numerics/attention.ts';
import { createRandom, normals } from '../numerics/random.ts';
import { createAudit, evenlySpaced } from './audit.ts';

const SHAPE = { layers: 2, heads: 4, keyValueHeads: 2, headDim: 16 };
const WIDTH = SHAPE.heads * SHAPE.headDim;
const N = 200;

describe('evenlySpaced', () => {
  it.for([
    [0, 10, 2, [2, 7]],
    [5, 9, 4, [5, 6, 7, 8]],
    // No more than there are.
    [5, 7, 9, [5, 6]],
    [3, 3, 1, []],
  ] as const)('from %d to before %d, %d numbers are %j', ([from, to, count, numbers]) => {
    expect([...evenlySpaced(from, to, count)]).toEqual(numbers);
  });
});

describe('an audit', () => {
  let attention: Attention;
  const random = createRandom(4);
  const queries = normals(random, 2 * WIDTH);

  beforeAll(async () => {
    attention = await createAttention({ ...SHAPE, capacity: N });
    attention.cache.reserve(N);
    for (let layer = 0; layer < SHAPE.layers; layer++) {
      const rows = () => normals(random, N * SHAPE.keyValueHeads * SHAPE.headDim);
      attention.cache.write(layer, 0, rows(), rows());
    }
    attention.cache.commit(N);
  });
  afterAll(() => attention.dispose());

  /** The last two tokens with a window of keys, as a pass reports them. */
  function eventOf(layer: number): AttentionEvent {
    const position = N - 2;
    const policy = { policy: 'window', budget: 'fixed:50' };
    const { outputs, report } = attention.attend({ layer, position, queries, policy });
    return { modelLayer: layer, layer, position, queries, outputs, report, attention };
  }

  it('compares the heads of audited tokens with full attention, and counts what all tokens read', () => {
    const audit = createAudit(SHAPE, new Set([N - 1]));
    const events = [0, 1].map(eventOf);
    for (const event of events) audit.onAttention(event);
    const { outputs: truth } = attention.attend({
      layer: 1,
      position: N - 1,
      queries: queries.subarray(WIDTH),
      policy: { policy: 'dense' },
    });
    const errors = Array.from({ length: SHAPE.heads }, (_, head) => {
      const range = [head * SHAPE.headDim, (head + 1) * SHAPE.headDim] as const;
      return relativeError(events[1]?.outputs.subarray(WIDTH).subarray(...range) ?? [], truth.subarray(...range));
    });
    const [first, second] = audit.layers();
    expect([first?.layer, second?.layer]).toEqual([0, 1]);
    expect(second?.outputError.mean).toBeCloseTo(errors.reduce((a, b) => a + b) / errors.length, 6);
    expect(audit.figures()).toMatchObject({ keysExact: 50, fullAttentionShare: 0 });
    expect(audit.figures().outputError.mean).toBeCloseTo(
      ((first?.outputError.mean as number) + (second?.outputError.mean as number)) / 2,
      6,
    );
  });

  it('measures no errors where no token is audited', () => {
    const audit = createAudit(SHAPE, new Set());
    audit.onAttention(eventOf(0));
    expect(audit.figures().outputError).toEqual({ mean: 0, p95: Number.NaN });
  });
});
