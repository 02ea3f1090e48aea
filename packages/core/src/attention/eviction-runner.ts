/**
 * Attention by policies that evict keys: what they have observed of a prompt, and which keys they keep, layer by layer. This
 * is state beside the cache, which itself keeps every key: a policy never reads again what it has evicted, and forgets what
 * it observed of tokens that are truncated. One thread does it, query after query, since what one query evicts the next one
 * must not read.
 *
 * A run of a policy begins behind a prompt whose queries were all shown to `observe`, or with the first token, and goes on
 * token by token, in any number of calls.
 */

import type { CacheShape } from '../cache/shape.ts';
import { KeysieveError } from '../errors.ts';
import { evictLowest, type HeadEvidence, type KeptKeys } from '../evictions/eviction.ts';
import { type GroupWork, logSumExp, rowLogSumExp, rowScores, scoreAllKeys } from '../group/group-work.ts';
import type { EvictingParts } from '../policies/policy.ts';
import { addMeanSquares, type Remains } from '../remains/remains.ts';
import { groupBudget } from '../selectors/selector.ts';
import { addAttentionWeights, addReceived, attendKept } from './kept-keys.ts';
import type { LayerQueries } from './layer-queries.ts';
import { type AttentionReport, emptyReport } from './report.ts';

/** What a runner needs of the attention. */
export interface EvictionContext {
  readonly shape: CacheShape;
  readonly heads: number;
  /** The work of the query heads (group, d) at a position that share a key-value head, loaded into the workspaces. */
  loadGroup(layer: number, position: number, keyValueHead: number, queries: Float32Array): GroupWork;
  /** Rows of one key-value head: (to - from, d). */
  read(layer: number, keyValueHead: number, what: 'keys' | 'values', from: number, to: number): Float32Array;
}

/** The keys that a policy keeps in one layer, and what is left of the others. */
interface Held {
  /** For each key-value head, or once for all of them. */
  kept: KeptKeys[];
  /** For each key-value head, where the eviction has remains; else empty. */
  remains: Remains[];
  /** Mean squares of recent queries (d) for each key-value head, where there are remains; else empty. */
  energies: Float64Array[];
}

/** What an eviction has observed of a prompt in one layer. Later ones are new objects: forks share those before. */
interface Observation {
  /** Position behind the last query observed. */
  readonly to: number;
  /** The last queries that the eviction looks at (count, heads, headDim); empty where it looks at all. */
  readonly last: Float32Array;
  /** The attention (n) that the keys of each key-value head have received, where the eviction looks at all queries. */
  readonly received: readonly Float64Array[];
  /** Keys before this position have been judged: those that were kept, and what is left of the others. */
  readonly judged: number;
  readonly held: Held;
}

/** A pass of a policy through what comes behind a prompt. */
interface Run {
  /** Position of the first query, and what of the prompt was kept for it. */
  readonly start: number;
  readonly heldFromPrompt: Held;
  /** Position of the query that comes next, and what is kept now. */
  next: number;
  held: Held;
}

/** What is left of the energies of queries with each token: those of the last 32 count. */
const ENERGY_DECAY = 1 - 1 / 32;

export class EvictionRunner {
  readonly #context: EvictionContext;
  /** By the name of the eviction, or by the policy where what it keeps of a prompt depends on the budget; then by layer. */
  readonly #observations = new Map<string | EvictingParts, Map<number, Observation>>();
  /** By the policy, then by layer. */
  readonly #runs = new Map<EvictingParts, Map<number, Run>>();

  /** With what `parent` has observed and kept so far, where there is one. */
  constructor(context: EvictionContext, parent?: EvictionRunner) {
    this.#context = context;
    if (parent === undefined) return;
    for (const [key, layers] of parent.#observations) this.#observations.set(key, new Map(layers));
    for (const [policy, layers] of parent.#runs) {
      const copies = [...layers].map(([layer, run]): [number, Run] => [layer, { ...run, held: copyHeld(run.held) }]);
      this.#runs.set(policy, new Map(copies));
    }
  }

  /** Shows queries of a prompt to policies: all of them, in order. Throws `invalid-argument` where some are missing. */
  observe(policies: readonly EvictingParts[], request: LayerQueries): void {
    const distinct = new Map(policies.map((policy) => [observationKey(policy), policy]));
    for (const policy of distinct.values()) this.#observe(policy, request);
  }

  #observe(policy: EvictingParts, { layer, position, queries }: LayerQueries): void {
    const { shape, heads } = this.#context;
    const { promptPart = Number.POSITIVE_INFINITY } = policy.eviction;
    const width = heads * shape.headDim;
    const layers = layersOf(this.#observations, observationKey(policy));
    const before = position === 0 ? this.#emptyObservation(policy) : layers.get(layer);
    if (before?.to !== position) throw notObserved(policy.eviction.name, before?.to ?? 0, position);
    let observation = before;
    for (let done = 0; done < queries.length; ) {
      const { to } = observation;
      const end = Math.min(position + queries.length / width, (Math.floor(to / promptPart) + 1) * promptPart);
      const next = done + (end - to) * width;
      observation = this.#look(policy, layer, observation, queries.subarray(done, next));
      if (end % promptPart === 0) observation = this.#judge(policy, layer, observation);
      done = next;
    }
    layers.set(layer, observation);
  }

  /** Attends with queries that come behind a prompt that was observed, or behind those of the last call, into `outputs`. */
  attend(policy: EvictingParts, request: LayerQueries, outputs: Float32Array): AttentionReport {
    const { shape, heads } = this.#context;
    const { layer, position, queries } = request;
    const width = heads * shape.headDim;
    const run = this.#runAt(policy, layer, position);
    const report = emptyReport();
    for (let done = 0; done < queries.length; done += width) {
      const tokenQueries = queries.subarray(done, done + width);
      this.#step(policy, run, layer, tokenQueries, outputs.subarray(done, done + width), report);
    }
    return report;
  }

  /**
   * Forgets what was seen and kept from position `length` on: a prompt that is cut has to be shown again, and a pass begins
   * again where its prompt ends.
   */
  truncate(length: number): void {
    for (const layers of this.#observations.values()) {
      for (const [layer, { to }] of layers) if (to > length) layers.delete(layer);
    }
    for (const layers of this.#runs.values()) {
      for (const [layer, run] of layers) {
        if (run.start > length) layers.delete(layer);
        else if (run.next > length) layers.set(layer, beginRun(run.start, run.heldFromPrompt));
      }
    }
  }

  /** What an eviction has seen before the first token. */
  #emptyObservation({ eviction }: EvictingParts): Observation {
    const { keyValueHeads, headDim } = this.#context.shape;
    const { remains, unit } = eviction;
    const perHead = <T>(make: () => T): T[] => Array.from({ length: keyValueHeads }, make);
    return {
      to: 0,
      last: new Float32Array(0),
      received: perHead(() => new Float64Array(0)),
      judged: 0,
      held: {
        kept: unit === 'head' ? perHead(noKeys) : [noKeys()],
        remains: remains === undefined ? [] : perHead(() => remains(headDim)),
        energies: remains === undefined ? [] : perHead(() => new Float64Array(headDim)),
      },
    };
  }

  /** The next queries of a prompt. */
  #look({ eviction }: EvictingParts, layer: number, before: Observation, queries: Float32Array): Observation {
    const { shape, heads } = this.#context;
    const width = heads * shape.headDim;
    const to = before.to + queries.length / width;
    if (Number.isFinite(eviction.observedQueries)) {
      const last = new Float32Array(before.last.length + queries.length);
      last.set(before.last);
      last.set(queries, before.last.length);
      return { ...before, to, last: last.slice(-eviction.observedQueries * width) };
    }
    const received = before.received.map((sums) => resize(sums, to));
    this.#addAttentionToAll(received, layer, before.to, queries);
    return { ...before, to, received };
  }

  /** Judges the keys that have come since the last time and those that were kept then, and drops what is too many. */
  #judge(policy: EvictingParts, layer: number, observation: Observation): Observation {
    const { to, judged, last } = observation;
    if (judged === to) return observation;
    const { eviction } = policy;
    const held = copyHeld(observation.held);
    const received = this.#receivedBy(layer, observation);
    if (eviction.remains !== undefined) held.energies = this.#energiesOf(last);
    for (const [unit, kept] of held.kept.entries()) {
      for (let position = judged; position < to; position++) {
        kept.positions.push(position);
        kept.scores.push(0);
      }
      const heads = this.#headsOf(policy, unit);
      const evidence = {
        received: sumColumns(heads.map((head) => received[head] as Float64Array)),
        heads: heads.map((head) => this.#evidenceOf(layer, head, kept.positions, last)),
      };
      kept.scores = Array.from(eviction.worthOfPrompt(evidence));
      this.#evict(policy, held, { layer, n: to + 1, unit, slack: 0 });
    }
    return { ...observation, judged: to, held };
  }

  /** The attention that the keys which are left have received in each key-value head from the queries looked at. */
  #receivedBy(layer: number, { to, judged, last, received, held }: Observation): readonly Float64Array[] {
    const { shape, heads } = this.#context;
    if (last.length === 0) return received;
    const count = last.length / (heads * shape.headDim);
    return Array.from({ length: shape.keyValueHeads }, (_, head) => {
      const kept = held.kept[held.kept.length === 1 ? 0 : head] as KeptKeys;
      const positions = [...kept.positions, ...range(judged, to)];
      const sums = new Float64Array(positions.length);
      for (let i = 0; i < count; i++) {
        const position = to - count + i;
        const work = this.#context.loadGroup(layer, position, head, this.#queriesOf(last, i, head));
        const seen = positions.length - (to - 1 - position);
        addReceived({ work, positions: positions.slice(0, seen), remains: held.remains[head] }, sums);
      }
      return sums;
    });
  }

  /** The queries of token number i among some (count, heads, d), of the heads that share a key-value head. */
  #queriesOf(queries: Float32Array, i: number, keyValueHead: number): Float32Array {
    const { shape, heads } = this.#context;
    const width = (heads / shape.keyValueHeads) * shape.headDim;
    const at = (i * shape.keyValueHeads + keyValueHead) * width;
    return queries.subarray(at, at + width);
  }

  #evidenceOf(layer: number, head: number, positions: readonly number[], last: Float32Array): HeadEvidence {
    const { shape, heads } = this.#context;
    const count = last.length / (heads * shape.headDim);
    const width = (heads / shape.keyValueHeads) * shape.headDim;
    const queries = new Float32Array(count * width);
    for (let i = 0; i < count; i++) queries.set(this.#queriesOf(last, i, head), i * width);
    return {
      keys: () => this.#rows(layer, head, 'keys', positions),
      values: () => this.#rows(layer, head, 'values', positions),
      queries,
    };
  }

  /** The mean squares of queries (count, heads, d), by key-value head (d). */
  #energiesOf(queries: Float32Array): Float64Array[] {
    const { shape, heads } = this.#context;
    const count = queries.length / (heads * shape.headDim);
    return Array.from({ length: shape.keyValueHeads }, (_, head) => {
      const energies = new Float64Array(shape.headDim);
      for (let i = 0; i < count; i++) addMeanSquares(energies, this.#queriesOf(queries, i, head), 1 / count);
      return energies;
    });
  }

  /** Rows of a key-value head at ascending positions. */
  #rows(layer: number, head: number, what: 'keys' | 'values', positions: readonly number[]): Float32Array {
    const { headDim } = this.#context.shape;
    const rows = new Float32Array(positions.length * headDim);
    for (let i = 0; i < positions.length; ) {
      const from = positions[i] as number;
      let end = i + 1;
      while (end < positions.length && positions[end] === from + end - i) end++;
      rows.set(this.#context.read(layer, head, what, from, from + end - i), i * headDim);
      i = end;
    }
    return rows;
  }

  /** The key-value heads that keep the same keys. */
  #headsOf({ eviction }: EvictingParts, unit: number): number[] {
    return eviction.unit === 'head' ? [unit] : range(0, this.#context.shape.keyValueHeads);
  }

  /** The pass that goes on at a position, or one that begins there. */
  #runAt(policy: EvictingParts, layer: number, position: number): Run {
    const layers = layersOf(this.#runs, policy);
    const current = layers.get(layer);
    if (current?.next === position) return current;
    const { eviction } = policy;
    const observation =
      position === 0 ? this.#emptyObservation(policy) : this.#observations.get(observationKey(policy))?.get(layer);
    if (observation?.to !== position) throw notObserved(eviction.name, observation?.to ?? 0, position);
    const { held } = this.#judge(policy, layer, observation);
    const run = beginRun(position, held);
    layers.set(layer, run);
    return run;
  }

  /** Leaves room for the key of the query that sees n keys, once there are `slack` too many; folds what is dropped. */
  #evict(
    policy: EvictingParts,
    { kept: units, remains, energies }: Held,
    { layer, n, unit, slack }: { layer: number; n: number; unit: number; slack: number },
  ): void {
    const { shape, heads } = this.#context;
    const { eviction, budget } = policy;
    const kept = units[unit] as KeptKeys;
    const rows = eviction.unit === 'head' ? heads / shape.keyValueHeads : heads;
    const before = groupBudget({ n, layer, head: unit * rows, rows }, budget) - 1;
    if (kept.positions.length <= before + slack) return;
    const gone = evictLowest(kept, before, eviction.recentKeys(before));
    if (remains.length === 0) return;
    for (const head of this.#headsOf(policy, unit)) {
      remains[head]?.fold({
        keys: this.#rows(layer, head, 'keys', gone),
        values: this.#rows(layer, head, 'values', gone),
        energies: energies[head] as Float64Array,
      });
    }
  }

  /** One query of all heads. */
  #step(
    policy: EvictingParts,
    run: Run,
    layer: number,
    queries: Float32Array,
    outputs: Float32Array,
    report: AttentionReport,
  ): void {
    const { shape, heads } = this.#context;
    const { eviction } = policy;
    const [position, n] = [run.next, run.next + 1];
    const { held } = run;
    const width = (heads / shape.keyValueHeads) * shape.headDim;
    for (const [unit, kept] of held.kept.entries()) {
      if (eviction.updateScore) this.#evict(policy, held, { layer, n, unit, slack: eviction.slack ?? 0 });
      kept.positions.push(position);
      kept.scores.push(0);
      const received = new Float64Array(kept.positions.length);
      for (const head of this.#headsOf(policy, unit)) {
        const headQueries = this.#queriesOf(queries, 0, head);
        const work = this.#context.loadGroup(layer, position, head, headQueries);
        const target = outputs.subarray(head * width, (head + 1) * width);
        attendKept(
          { work, positions: kept.positions, remains: held.remains[head] },
          eviction,
          target,
          received,
          report,
        );
        const energies = held.energies[head];
        if (energies) addMeanSquares(decayed(energies), headQueries, 1 - ENERGY_DECAY);
      }
      const { updateScore } = eviction;
      if (updateScore) kept.scores = kept.scores.map((before, i) => updateScore(before, received[i] as number));
    }
    run.next = n;
  }

  /** Adds the attention that queries from `position` on pay to all keys, by key-value head. */
  #addAttentionToAll(received: readonly Float64Array[], layer: number, position: number, queries: Float32Array): void {
    const { shape, heads } = this.#context;
    const width = (heads / shape.keyValueHeads) * shape.headDim;
    for (let at = 0; at < queries.length; at += width) {
      const [index, head] = [Math.floor(at / width / shape.keyValueHeads), (at / width) % shape.keyValueHeads];
      const work = this.#context.loadGroup(layer, position + index, head, queries.subarray(at, at + width));
      scoreAllKeys(work);
      for (let row = 0; row < work.rows; row++) {
        addAttentionWeights(rowScores(work, row), logSumExp(rowLogSumExp(work, row)), received[head] as Float64Array);
      }
    }
  }
}

/** Evictions that wait for the end of a prompt see the same of it whatever their budget. */
const observationKey = (policy: EvictingParts): string | EvictingParts =>
  policy.eviction.promptPart === undefined ? policy.eviction.name : policy;

const noKeys = (): KeptKeys => ({ positions: [], scores: [] });

/** A pass from its first query on. */
const beginRun = (start: number, heldFromPrompt: Held): Run => ({
  start,
  heldFromPrompt,
  next: start,
  held: copyHeld(heldFromPrompt),
});

const copyHeld = ({ kept, remains, energies }: Held): Held => ({
  kept: kept.map(({ positions, scores }) => ({ positions: positions.slice(), scores: scores.slice() })),
  remains: remains.map((each) => each.copy()),
  energies: energies.map((each) => each.slice()),
});

function layersOf<K, V>(map: Map<K, Map<number, V>>, key: K): Map<number, V> {
  const entry = map.get(key) ?? new Map<number, V>();
  map.set(key, entry);
  return entry;
}

/** Numbers with `ENERGY_DECAY` taken off, in place. */
function decayed(energies: Float64Array): Float64Array {
  for (const [i, x] of energies.entries()) energies[i] = x * ENERGY_DECAY;
  return energies;
}

function resize(sums: Float64Array, length: number): Float64Array {
  const resized = new Float64Array(length);
  resized.set(sums);
  return resized;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

const sumColumns = (parts: readonly Float64Array[]): Float64Array =>
  (parts[0] as Float64Array).map((_, j) => parts.reduce((sum, part) => sum + (part[j] as number), 0));

function notObserved(name: string, to: number, position: number): KeysieveError {
  return new KeysieveError({
    code: 'invalid-argument',
    problem: `The policy ${name} keeps keys by the attention that earlier queries paid, and was not shown all of them.`,
    found: `queries before ${to}, of ${position}`,
    remedy: 'Pass the queries of the prompt to observe, from position 0 on, as they come.',
  });
}
