/** Sessions that come, go, and are saved in any order, beside plain arrays of what each of them has read. */
import fc from 'fast-check';
import { type Attention, PRECISIONS, type Precision } from 'keysieve';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { createMemoryStore } from '../io/memory-store.ts';
import type { Store } from '../io/store.ts';
import { loadModel, type Model } from './load-model.ts';
import type { Session } from './session.ts';

/** Sequences of a precision: `npm run torture:sequences` tries 10,000 in all. */
const SEQUENCES = Number(process.env.KEYSIEVE_SEQUENCES ?? 24);
const CONTEXT = 256;
const MAX_SESSIONS = 5;
/** Every dimension of an int8 page is off by half a step of its largest number, or by a little more where it was cut. */
const INT8_ERROR = 0.05;

/** What a session should hold: tokens, and their rows by layer, head, and whether they are keys or values. */
interface Contents {
  tokens: readonly number[];
  rows: ReadonlyMap<string, Float32Array>;
}

interface Modelled extends Contents {
  session: Session;
}

const EMPTY: Contents = { tokens: [], rows: new Map() };

const step = fc.oneof(
  fc.record({
    kind: fc.constantFrom('append' as const, 'append' as const, 'abort' as const, 'truncate' as const),
    which: fc.nat(7),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ kind: fc.constantFrom('fork' as const, 'dispose' as const), which: fc.nat(7) }),
  fc.record({
    kind: fc.constantFrom('save' as const, 'restore' as const, 'damage' as const, 'abort-save' as const),
    which: fc.nat(7),
    file: fc.constantFrom('a', 'b'),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

describe('any sequence of reading, aborting, cutting, forking, saving, restoring, damaging and disposing', () => {
  let model: Model;
  let warned: MockInstance;
  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: CONTEXT });
  });
  beforeEach(() => {
    warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  });
  afterEach(() => warned.mockRestore());
  afterAll(() => model.dispose());

  const create = (precision: Precision) =>
    model.createSession({ cachePrecision: precision, attention: { policy: 'sieve' }, denseFallback: false });

  it.for(PRECISIONS)(
    'leaves what plain arrays hold, and no byte when all are gone, in %s',
    { timeout: 60 * SEQUENCES + 120_000 },
    async (precision) => {
      // Keeps the memory that the others share.
      await using root = await create(precision);
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
          const all: Modelled[] = [{ session: await create(precision), ...EMPTY }];
          const store = createMemoryStore();
          const files = new Map<string, Contents>();
          for (const each of steps) await take(each, all, store, files);
          for (const each of all) {
            await expectContents(each, precision);
            await each.session.dispose();
          }
          expect(root.memory.pool).toBe(0);
        }),
        { numRuns: SEQUENCES, seed: 5 },
      );
    },
  );

  async function take(each: Step, all: Modelled[], store: Store, files: Map<string, Contents>): Promise<void> {
    const index = each.which % all.length;
    const modelled = all[index] as Modelled;
    const { session } = modelled;
    if ('file' in each) {
      const { kind, file, share } = each;
      if (kind === 'save') {
        await session.save({ store, name: file });
        files.set(file, { ...modelled });
      } else if (kind === 'abort-save') {
        await abortSave(modelled, store, file, files);
      } else if (all.length < MAX_SESSIONS) {
        const restored = await restore(store, file, files, kind === 'damage' ? share : undefined);
        if (restored !== undefined) all.push(restored);
      }
    } else if (each.kind === 'truncate') {
      const length = Math.floor(each.share * modelled.tokens.length);
      session.truncate(length);
      Object.assign(modelled, cut(modelled, length));
    } else if ('share' in each) {
      const count = Math.min(Math.floor(each.share * 100), CONTEXT - modelled.tokens.length);
      if (count > 0) await append(modelled, count, each.kind === 'abort');
    } else if (each.kind === 'fork') {
      if (all.length < MAX_SESSIONS) all.push({ ...modelled, session: session.fork() });
    } else if (all.length > 1) {
      all.splice(index, 1);
      await session.dispose();
      expect(() => session.fork()).toThrow(expect.objectContaining({ code: 'disposed' }));
    }
    for (const { session: other, tokens } of all) expect(other.tokens).toEqual(tokens);
  }

  /** Reads random tokens; where it is aborted, in the middle of a pass. */
  async function append(modelled: Modelled, count: number, aborted: boolean): Promise<void> {
    const { session, tokens } = modelled;
    const position = tokens.length;
    const more = Int32Array.from({ length: count }, (_, i) => (position * 7 + i * 31 + count) % 200);
    const controller = new AbortController();
    let seen: Attention | undefined;
    const read = async () => {
      const pass = session.evaluate(more, {
        chunkTokens: count,
        logits: false,
        signal: controller.signal,
        onAttention({ attention }) {
          seen = attention;
          if (aborted) controller.abort();
        },
      });
      for await (const _ of pass);
    };
    if (aborted) return expect(read()).rejects.toMatchObject({ code: 'aborted' });
    await read();
    Object.assign(modelled, {
      tokens: [...tokens, ...more],
      rows: joined(modelled.rows, rowsOf(seen as Attention, position, position + count)),
    });
  }

  /** Saves, and gives it up after the first page: what was in the file stays there. */
  async function abortSave(modelled: Modelled, store: Store, name: string, files: Map<string, Contents>) {
    const controller = new AbortController();
    const saved = modelled.session.save(
      { store, name },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    // An empty session has no page at which it could be given up.
    if (modelled.tokens.length > 0) return expect(saved).rejects.toMatchObject({ code: 'aborted' });
    await saved;
    files.set(name, EMPTY);
  }

  /** A session of what a file holds; with a bit at a share of its bytes damaged, of less, or none. */
  async function restore(store: Store, name: string, files: Map<string, Contents>, damagedAt: number | undefined) {
    const contents = files.get(name);
    const bytes = (await store.open(name))?.bytes?.slice();
    expect(bytes === undefined).toBe(contents === undefined);
    if (bytes === undefined || contents === undefined) return undefined;
    const at = Math.floor((damagedAt ?? 0) * (bytes.length - 1));
    if (damagedAt !== undefined) bytes[at] = (bytes[at] as number) ^ 1;
    let session: Session;
    try {
      session = await model.restore(new Blob([bytes]));
    } catch (error) {
      expect([damagedAt === undefined, (error as { code: string }).code]).toEqual([
        false,
        expect.stringMatching(/^snapshot-/),
      ]);
      return undefined;
    }
    const { length } = session.tokens;
    if (damagedAt === undefined) expect(length).toBe(contents.tokens.length);
    else expect(length).toBeLessThan(contents.tokens.length);
    return { session, ...cut(contents, length) };
  }

  async function expectContents({ session, tokens, rows }: Modelled, precision: Precision): Promise<void> {
    // A pass shows the cache, and that the session still works.
    const modelled = { session, tokens, rows };
    if (tokens.length === CONTEXT) {
      session.truncate(CONTEXT - 1);
      Object.assign(modelled, cut(modelled, CONTEXT - 1));
    }
    const expected = modelled.rows;
    let seen: Attention | undefined;
    const pass = session.evaluate(Int32Array.of(1), {
      onAttention({ attention }) {
        seen = attention;
      },
    });
    for await (const _ of pass);
    const actual = rowsOf(seen as Attention, 0, modelled.tokens.length);
    for (const [name, numbers] of expected) {
      const found = actual.get(name) as Float32Array;
      if (precision !== 'int8') expect(found, name).toEqual(numbers);
      else expect(maxDifference(found, numbers), name).toBeLessThanOrEqual(INT8_ERROR * maxMagnitude(numbers));
    }
  }
});

/** The rows of a cache at positions [from, to). */
function rowsOf({ cache }: Attention, from: number, to: number): Map<string, Float32Array> {
  const { layers, keyValueHeads } = cache.shape;
  const rows = new Map<string, Float32Array>();
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < keyValueHeads; head++) {
      for (const what of ['keys', 'values'] as const) {
        rows.set(`${what} of head ${head} in layer ${layer}`, cache.read(layer, head, what, from, to));
      }
    }
  }
  return rows;
}

const joined = (rows: Contents['rows'], more: Contents['rows']): Map<string, Float32Array> =>
  new Map([...more].map(([name, numbers]) => [name, Float32Array.of(...(rows.get(name) ?? []), ...numbers)]));

const cut = ({ tokens, rows }: Contents, length: number): Contents => ({
  tokens: tokens.slice(0, length),
  rows: new Map([...rows].map(([name, all]) => [name, all.slice(0, (all.length / tokens.length) * length)])),
});

const maxDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((max, x, i) => Math.max(max, Math.abs(x - (b[i] as number))), 0);

const maxMagnitude = (numbers: Float32Array): number => numbers.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
