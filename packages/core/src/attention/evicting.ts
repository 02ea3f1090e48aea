/**
 * Attention by policies that evict keys: what they have seen of a prompt, and which keys they keep, layer by layer. It is
 * state beside the cache, which itself keeps every key: a policy that has dropped one reads it no more, and once the cache
 * is cut, what it knew of the tokens that are gone is gone too. Baselines: done by one thread, query after query, since
 * what a query drops the next one must not read.
 *
 * A pass of a policy begins where a prompt ends whose queries were all shown to `observe`, or with the first token; it
 * goes on token by token, in as many calls as come.
 */
import {
  carryState,
  exactBytes,
  finishedOutputs,
  type HeadQuery,
  logOf,
  partOf,
  positionsBuffer,
  readSums,
  type SoftmaxSum,
  scoreAll,
  scoresOf,
  sumOfScores,
  type ThreadRegion,
} from '../cache/head-query.ts';
import type { CacheShape } from '../cache/shape.ts';
import { scoreStride } from '../cache/workspace.ts';
import { certify } from '../certificates/certificate.ts';
import { KeysieveError } from '../errors.ts';
import { dropLeast, type Eviction, type KeptKeys } from '../evictions/eviction.ts';
import type { EvictingPolicy } from '../policies/policy.ts';
import { keysOfGroup } from '../selectors/selector.ts';
import { addRow } from './job-report.ts';
import type { LayerQueries } from './layer-queries.ts';
import { type AttentionReport, emptyReport } from './report.ts';

/** The attention around. */
export interface EvictingContext {
  readonly shape: CacheShape;
  readonly heads: number;
  /** The queries (group, d) at a position of the heads that share a key-value head, placed in this thread's workspaces. */
  place(layer: number, position: number, keyValueHead: number, queries: Float32Array): HeadQuery;
}

/** What an eviction has seen of a prompt in one layer. */
interface Observed {
  /** Queries before this position. */
  to: number;
  /** The last of them, as many as it looks at (count, heads, headDim); none where it looks at all. */
  last: Float32Array;
  /** Where it looks at all: the attention that the keys of each key-value head have received (n). */
  received: Float64Array[];
}

/** The keys that a policy keeps in one layer, of each key-value head or the same of all. */
interface Pass {
  /** Position of the first query, and what of the prompt was kept for it. */
  readonly start: number;
  readonly ofPrompt: readonly KeptKeys[];
  /** Position of the query that comes next, and what is kept now. */
  next: number;
  kept: KeptKeys[];
}

export class Evicting {
  readonly #context: EvictingContext;
  /** By the name of the eviction, then by layer. */
  readonly #observed = new Map<string, Map<number, Observed>>();
  /** By the policy, then by layer. */
  readonly #passes = new Map<EvictingPolicy, Map<number, Pass>>();

  constructor(context: EvictingContext) {
    this.#context = context;
  }

  /** Shows queries of a prompt to an eviction: all of them, in order. Throws `invalid-argument` where some are missing. */
  observe(eviction: Eviction, { layer, position, queries }: LayerQueries): void {
    const { shape, heads } = this.#context;
    const width = heads * shape.headDim;
    const layers = entryOf(this.#observed, eviction.name);
    const before = position === 0 ? nothing(shape) : layers.get(layer);
    if (before?.to !== position) throw notObserved(eviction.name, before?.to ?? 0, position);
    const to = position + queries.length / width;
    if (Number.isFinite(eviction.observed)) {
      const last = new Float32Array(before.last.length + queries.length);
      last.set(before.last);
      last.set(queries, before.last.length);
      layers.set(layer, { ...before, to, last: last.slice(-eviction.observed * width) });
      return;
    }
    const received = before.received.map((sums) => grown(sums, to));
    this.#addReceived(received, layer, position, queries);
    layers.set(layer, { ...before, to, received });
  }

  /** Attends with queries that come behind a prompt that was observed, or behind those of the last call, into `outputs`. */
  attend(policy: EvictingPolicy, request: LayerQueries, outputs: Float32Array): AttentionReport {
    const { shape, heads } = this.#context;
    const { layer, position, queries } = request;
    const width = heads * shape.headDim;
    const pass = this.#passOf(policy, layer, position);
    const report = emptyReport();
    for (let done = 0; done < queries.length; done += width) {
      const own = queries.subarray(done, done + width);
      this.#step(policy, pass, layer, own, outputs.subarray(done, done + width), report);
    }
    return report;
  }

  /**
   * Forgets what was seen and kept from position `length` on: a prompt that is cut has to be shown again, and a pass begins
   * again where its prompt ends.
   */
  truncate(length: number): void {
    for (const layers of this.#observed.values()) {
      for (const [layer, { to }] of layers) if (to > length) layers.delete(layer);
    }
    for (const layers of this.#passes.values()) {
      for (const [layer, pass] of layers) {
        if (pass.start > length) layers.delete(layer);
        else if (pass.next > length) layers.set(layer, begun(pass));
      }
    }
  }

  /** The pass that goes on at a position, or one that begins there. */
  #passOf(policy: EvictingPolicy, layer: number, position: number): Pass {
    const layers = entryOf(this.#passes, policy);
    const known = layers.get(layer);
    if (known?.next === position) return known;
    const { eviction } = policy;
    const observed = position === 0 ? nothing(this.#context.shape) : this.#observed.get(eviction.name)?.get(layer);
    if (observed?.to !== position) throw notObserved(eviction.name, observed?.to ?? 0, position);
    const pass = begun({ start: position, ofPrompt: this.#keptOfPrompt(policy, layer, observed) });
    layers.set(layer, pass);
    return pass;
  }

  #keptOfPrompt(policy: EvictingPolicy, layer: number, { to, last, received }: Observed): KeptKeys[] {
    const { eviction } = policy;
    const { shape, heads } = this.#context;
    const perHead = last.length === 0 ? received : received.map(() => new Float64Array(to));
    const count = last.length / (heads * shape.headDim);
    if (last.length > 0) this.#addReceived(perHead, layer, to - count, last);
    const units = eviction.unit === 'head' ? perHead : [summed(perHead)];
    return units.map((sums, unit) => {
      const kept = {
        positions: Array.from({ length: to }, (_, j) => j),
        worth: Array.from(eviction.worthOfPrompt(sums)),
      };
      this.#drop(policy, kept, layer, to + 1, unit);
      return kept;
    });
  }

  /** Leaves room for the key of the query that sees n keys. */
  #drop({ eviction, budget }: EvictingPolicy, kept: KeptKeys, layer: number, n: number, unit: number): void {
    const { shape, heads } = this.#context;
    const rows = eviction.unit === 'head' ? heads / shape.keyValueHeads : heads;
    const before = keysOfGroup({ n, layer, head: unit * rows, rows }, budget) - 1;
    dropLeast(kept, before, eviction.recent(before));
  }

  /** One query of all heads. */
  #step(
    policy: EvictingPolicy,
    pass: Pass,
    layer: number,
    queries: Float32Array,
    outputs: Float32Array,
    report: AttentionReport,
  ): void {
    const { shape, heads } = this.#context;
    const { eviction } = policy;
    const [position, n] = [pass.next, pass.next + 1];
    const width = (heads / shape.keyValueHeads) * shape.headDim;
    for (const [unit, kept] of pass.kept.entries()) {
      if (eviction.worthAfter) this.#drop(policy, kept, layer, n, unit);
      kept.positions.push(position);
      kept.worth.push(0);
      const received = new Float64Array(kept.positions.length);
      const own = eviction.unit === 'head' ? [unit] : Array.from({ length: shape.keyValueHeads }, (_, head) => head);
      for (const head of own) {
        const range = [head * width, (head + 1) * width] as const;
        const query = this.#context.place(layer, position, head, queries.subarray(...range));
        attendKept(query, eviction, kept.positions, outputs.subarray(...range), received, report);
      }
      const { worthAfter } = eviction;
      if (worthAfter) kept.worth = kept.worth.map((before, i) => worthAfter(before, received[i] as number));
    }
    pass.next = n;
  }

  /** Adds the attention that queries from `position` on pay to all keys, by key-value head. */
  #addReceived(received: readonly Float64Array[], layer: number, position: number, queries: Float32Array): void {
    const { shape, heads } = this.#context;
    const width = (heads / shape.keyValueHeads) * shape.headDim;
    for (let at = 0; at < queries.length; at += width) {
      const [index, head] = [Math.floor(at / width / shape.keyValueHeads), (at / width) % shape.keyValueHeads];
      const query = this.#context.place(layer, position + index, head, queries.subarray(at, at + width));
      scoreAll(query);
      for (let row = 0; row < query.rows; row++) {
        addShares(scoresOf(query, row), logOf(sumOfScores(query, row)), received[head] as Float64Array);
      }
    }
  }
}

/** Attends with the rows of a query to the keys that are kept, and adds the shares that they have to `received`. */
function attendKept(
  query: HeadQuery,
  { remembers }: Eviction,
  positions: readonly number[],
  outputs: Float32Array,
  received: Float64Array,
  report: AttentionReport,
): void {
  const { n, rows, shape } = query;
  const count = positions.length;
  positionsBuffer(query).set(positions);
  const { region, scores } = attendScored(query, count);
  const found = finishedOutputs(region, rows, shape.headDim);
  outputs.set(found);
  for (const [row, head] of readSums(region, rows).entries()) {
    addShares(scores[row] as Float32Array, logOf(head), received);
    const output = outputs.subarray(row * shape.headDim, (row + 1) * shape.headDim);
    const bytesRead = row === 0 ? exactBytes(query, count) + (remembers ? 4 * count : 0) : 0;
    const outcome = count === n ? 'dense' : 'chosen';
    const certificate = certify(query, row, { count, head: head as SoftmaxSum, output });
    addRow(report, n, { ...certificate, keysRead: count, keysCoded: 0, bytesRead, outcome, keysNeeded: 0 });
  }
}

/** Attends to the first `count` positions of the positions buffer; the scores of each row are kept. */
function attendScored(query: HeadQuery, count: number): { region: ThreadRegion; scores: Float32Array[] } {
  const { rows, shape, segments } = query;
  const scores = Array.from({ length: rows }, () => new Float32Array(count));
  const region = carryState(segments, rows, shape.headDim, (segment) => {
    const { start, end, indices } = partOf(query, segment, (workspace) => workspace.indices, 0, count);
    const some = end - start;
    if (some === 0) return;
    const { region, pages } = segment;
    const { kernels, workspace, views } = region;
    const stride = scoreStride(some);
    kernels.scoreSelected(pages, indices, some, workspace.queries, rows, workspace.scores, stride, workspace.scratch);
    for (const [row, own] of scores.entries()) {
      const at = workspace.scores / 4 + row * stride;
      own.set(views().f32.subarray(at, at + some), start);
    }
    kernels.addValues(pages, indices, some, workspace.scores, stride, rows, workspace.state, workspace.scratch);
  });
  return { region, scores };
}

/** By index: it runs over all keys of every query of a prompt. */
function addShares(scores: Float32Array, logSum: number, received: Float64Array): void {
  for (let j = 0; j < scores.length; j++) {
    received[j] = (received[j] as number) + Math.exp((scores[j] as number) - logSum);
  }
}

const begun = ({ start, ofPrompt }: Pick<Pass, 'start' | 'ofPrompt'>): Pass => ({
  ...{ start, ofPrompt, next: start },
  kept: ofPrompt.map(({ positions, worth }) => ({ positions: positions.slice(), worth: worth.slice() })),
});

function entryOf<K, V>(map: Map<K, Map<number, V>>, key: K): Map<number, V> {
  const found = map.get(key) ?? new Map<number, V>();
  map.set(key, found);
  return found;
}

const nothing = ({ keyValueHeads }: CacheShape): Observed => ({
  to: 0,
  last: new Float32Array(0),
  received: Array.from({ length: keyValueHeads }, () => new Float64Array(0)),
});

function grown(sums: Float64Array, length: number): Float64Array {
  const longer = new Float64Array(length);
  longer.set(sums);
  return longer;
}

const summed = (parts: readonly Float64Array[]): Float64Array =>
  (parts[0] as Float64Array).map((_, j) => parts.reduce((sum, part) => sum + (part[j] as number), 0));

function notObserved(name: string, to: number, position: number): KeysieveError {
  return new KeysieveError({
    code: 'invalid-argument',
    problem: `The policy ${name} chooses keys by the attention that the queries before paid, and was not shown all of them.`,
    found: `queries before ${to}, of ${position}`,
    remedy: 'Pass the queries of the prompt to observe, from position 0 on, as they come.',
  });
}
