/**
 * Attention by policies that evict keys: what they have observed of a prompt, and which keys they keep, layer by layer. This
 * is state beside the cache, which itself keeps every key: a policy never reads again what it has evicted, and forgets what
 * it observed of tokens that are truncated. For baselines: one thread does it, query after query, since what one query
 * evicts the next one must not read.
 *
 * A run of a policy begins behind a prompt whose queries were all shown to `observe`, or with the first token, and goes on
 * token by token, in any number of calls.
 */

import type { CacheShape } from '../cache/shape.ts';
import { certify } from '../certificates/certificate.ts';
import { KeysieveError } from '../errors.ts';
import { type Eviction, evictLowest, type KeptKeys } from '../evictions/eviction.ts';
import {
  countSinks,
  exactRowBytes,
  foldSegments,
  type GroupWork,
  listPartIn,
  logSumExp,
  normalizedOutputs,
  type RunningLogSumExp,
  readStateSums,
  rowLogSumExp,
  rowScores,
  scoreAllKeys,
  selectedPositions,
  type ThreadRegion,
} from '../group/group-work.ts';
import { scoreStride } from '../kernels/quantized-kernels.ts';
import type { EvictingParts } from '../policies/policy.ts';
import { groupBudget } from '../selectors/selector.ts';
import { addRow } from './job-report.ts';
import type { LayerQueries } from './layer-queries.ts';
import { type AttentionReport, emptyReport } from './report.ts';

/** What a runner needs of the attention. */
export interface EvictionContext {
  readonly shape: CacheShape;
  readonly heads: number;
  /** The work of the query heads (group, d) at a position that share a key-value head, loaded into the workspaces. */
  loadGroup(layer: number, position: number, keyValueHead: number, queries: Float32Array): GroupWork;
}

/** What an eviction has observed of a prompt in one layer. */
interface Observation {
  /** Position behind the last query observed. */
  to: number;
  /** The last queries that the eviction looks at (count, heads, headDim); empty where it looks at all. */
  last: Float32Array;
  /** The attention (n) that the keys of each key-value head have received, where the eviction looks at all queries. */
  received: Float64Array[];
}

/** The keys that a policy keeps in one layer, for each key-value head or the same for all. */
interface Run {
  /** Position of the first query, and what of the prompt was kept for it. */
  readonly start: number;
  readonly keptFromPrompt: readonly KeptKeys[];
  /** Position of the query that comes next, and what is kept now. */
  next: number;
  kept: KeptKeys[];
}

export class EvictionRunner {
  readonly #context: EvictionContext;
  /** By the name of the eviction, then by layer. */
  readonly #observations = new Map<string, Map<number, Observation>>();
  /** By the policy, then by layer. */
  readonly #runs = new Map<EvictingParts, Map<number, Run>>();

  /** With what `parent` has observed and kept so far, where there is one. */
  constructor(context: EvictionContext, parent?: EvictionRunner) {
    this.#context = context;
    if (parent === undefined) return;
    for (const [name, layers] of parent.#observations) this.#observations.set(name, new Map(layers));
    for (const [policy, layers] of parent.#runs) {
      this.#runs.set(policy, new Map([...layers].map(([layer, run]) => [layer, { ...run, kept: copyKept(run.kept) }])));
    }
  }

  /** Shows queries of a prompt to an eviction: all of them, in order. Throws `invalid-argument` where some are missing. */
  observe(eviction: Eviction, { layer, position, queries }: LayerQueries): void {
    const { shape, heads } = this.#context;
    const width = heads * shape.headDim;
    const layers = layersOf(this.#observations, eviction.name);
    const before = position === 0 ? emptyObservation(shape) : layers.get(layer);
    if (before?.to !== position) throw notObserved(eviction.name, before?.to ?? 0, position);
    const to = position + queries.length / width;
    if (Number.isFinite(eviction.observedQueries)) {
      const last = new Float32Array(before.last.length + queries.length);
      last.set(before.last);
      last.set(queries, before.last.length);
      layers.set(layer, { ...before, to, last: last.slice(-eviction.observedQueries * width) });
      return;
    }
    const received = before.received.map((sums) => resize(sums, to));
    this.#addAttentionWeights(received, layer, position, queries);
    layers.set(layer, { ...before, to, received });
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
        else if (run.next > length) layers.set(layer, restart(run));
      }
    }
  }

  /** The pass that goes on at a position, or one that begins there. */
  #runAt(policy: EvictingParts, layer: number, position: number): Run {
    const layers = layersOf(this.#runs, policy);
    const current = layers.get(layer);
    if (current?.next === position) return current;
    const { eviction } = policy;
    const observations =
      position === 0 ? emptyObservation(this.#context.shape) : this.#observations.get(eviction.name)?.get(layer);
    if (observations?.to !== position) throw notObserved(eviction.name, observations?.to ?? 0, position);
    const run = restart({ start: position, keptFromPrompt: this.#keepFromPrompt(policy, layer, observations) });
    layers.set(layer, run);
    return run;
  }

  #keepFromPrompt(policy: EvictingParts, layer: number, { to, last, received }: Observation): KeptKeys[] {
    const { eviction } = policy;
    const { shape, heads } = this.#context;
    const perHead = last.length === 0 ? received : received.map(() => new Float64Array(to));
    const count = last.length / (heads * shape.headDim);
    if (last.length > 0) this.#addAttentionWeights(perHead, layer, to - count, last);
    const units = eviction.unit === 'head' ? perHead : [sumColumns(perHead)];
    return units.map((sums, unit) => {
      const kept = {
        positions: Array.from({ length: to }, (_, j) => j),
        scores: Array.from(eviction.scorePrompt(sums)),
      };
      this.#evict(policy, kept, layer, to + 1, unit);
      return kept;
    });
  }

  /** Leaves room for the key of the query that sees n keys. */
  #evict({ eviction, budget }: EvictingParts, kept: KeptKeys, layer: number, n: number, unit: number): void {
    const { shape, heads } = this.#context;
    const rows = eviction.unit === 'head' ? heads / shape.keyValueHeads : heads;
    const before = groupBudget({ n, layer, head: unit * rows, rows }, budget) - 1;
    evictLowest(kept, before, eviction.recentKeys(before));
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
    const width = (heads / shape.keyValueHeads) * shape.headDim;
    for (const [unit, kept] of run.kept.entries()) {
      if (eviction.updateScore) this.#evict(policy, kept, layer, n, unit);
      kept.positions.push(position);
      kept.scores.push(0);
      const received = new Float64Array(kept.positions.length);
      const headsOfUnit =
        eviction.unit === 'head' ? [unit] : Array.from({ length: shape.keyValueHeads }, (_, head) => head);
      for (const head of headsOfUnit) {
        const range = [head * width, (head + 1) * width] as const;
        const work = this.#context.loadGroup(layer, position, head, queries.subarray(...range));
        attendKept(work, eviction, kept.positions, outputs.subarray(...range), received, report);
      }
      const { updateScore } = eviction;
      if (updateScore) kept.scores = kept.scores.map((before, i) => updateScore(before, received[i] as number));
    }
    run.next = n;
  }

  /** Adds the attention that queries from `position` on pay to all keys, by key-value head. */
  #addAttentionWeights(
    received: readonly Float64Array[],
    layer: number,
    position: number,
    queries: Float32Array,
  ): void {
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

/** Attends with the rows of a query to the keys that are kept, and adds the shares that they have to `received`. */
function attendKept(
  work: GroupWork,
  { readsScores }: Eviction,
  positions: readonly number[],
  outputs: Float32Array,
  received: Float64Array,
  report: AttentionReport,
): void {
  const { n, rows, shape } = work;
  const count = positions.length;
  selectedPositions(work).set(positions);
  const { region, scores } = attendAndKeepScores(work, count);
  const normalized = normalizedOutputs(region, rows, shape.headDim);
  outputs.set(normalized);
  for (const [row, selectedSum] of readStateSums(region, rows).entries()) {
    addAttentionWeights(scores[row] as Float32Array, logSumExp(selectedSum), received);
    const output = outputs.subarray(row * shape.headDim, (row + 1) * shape.headDim);
    const bytesRead = row === 0 ? exactRowBytes(work, count) + (readsScores ? 4 * count : 0) : 0;
    const outcome = count === n ? 'full' : 'asSelected';
    const certificate = certify(work, row, { count, selectedSum: selectedSum as RunningLogSumExp, output });
    addRow(report, n, { ...certificate, keysExact: count, keysQuantized: 0, bytesRead, outcome });
  }
}

/** Attends to the first `count` positions of the positions buffer; the scores of each row are kept. */
function attendAndKeepScores(work: GroupWork, count: number): { region: ThreadRegion; scores: Float32Array[] } {
  const { rows, shape, segments } = work;
  const scores = Array.from({ length: rows }, () => new Float32Array(count));
  const region = foldSegments(segments, rows, shape.headDim, (segment) => {
    const { start, end, indices } = listPartIn(work, segment, (workspace) => workspace.indices, 0, count);
    const partCount = end - start;
    if (partCount === 0) return;
    const { region, pages } = segment;
    const { kernels, workspace, views } = region;
    const stride = scoreStride(partCount);
    kernels.scoreSelected(
      pages,
      indices,
      partCount,
      workspace.queries,
      rows,
      workspace.scores,
      stride,
      workspace.scratch,
    );
    for (const [row, rowScores] of scores.entries()) {
      const at = workspace.scores / 4 + row * stride;
      rowScores.set(views().f32.subarray(at, at + partCount), start);
    }
    kernels.addValues(pages, indices, partCount, workspace.scores, stride, rows, workspace.state, workspace.scratch);
  });
  return { region: countSinks(work, region), scores };
}

/** By index: it runs over all keys of every query of a prompt. */
function addAttentionWeights(scores: Float32Array, logSum: number, received: Float64Array): void {
  for (let j = 0; j < scores.length; j++) {
    received[j] = (received[j] as number) + Math.exp((scores[j] as number) - logSum);
  }
}

const restart = ({ start, keptFromPrompt }: Pick<Run, 'start' | 'keptFromPrompt'>): Run => ({
  start,
  keptFromPrompt,
  next: start,
  kept: copyKept(keptFromPrompt),
});

const copyKept = (kept: readonly KeptKeys[]): KeptKeys[] =>
  kept.map(({ positions, scores }) => ({ positions: positions.slice(), scores: scores.slice() }));

function layersOf<K, V>(map: Map<K, Map<number, V>>, key: K): Map<number, V> {
  const entry = map.get(key) ?? new Map<number, V>();
  map.set(key, entry);
  return entry;
}

const emptyObservation = ({ keyValueHeads }: CacheShape): Observation => ({
  to: 0,
  last: new Float32Array(0),
  received: Array.from({ length: keyValueHeads }, () => new Float64Array(0)),
});

function resize(sums: Float64Array, length: number): Float64Array {
  const resized = new Float64Array(length);
  resized.set(sums);
  return resized;
}

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
