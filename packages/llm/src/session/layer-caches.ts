/**
 * The caches of a session: layers whose attention follows one rule share one, so that those with a window keep its keys
 * alone. Most models have a single cache.
 */
import {
  type Attention,
  attentionBytes,
  type CacheMemory,
  type Encoding,
  type Precision,
  type ScanBasis,
  type StepCosts,
} from 'keysieve';
import { type AttentionEngine, type EngineOptions, type OwnOptions, openAttention } from 'keysieve/engine';
import type { LayerAttention, ModelConfig } from '../model/index.ts';
import type { Engines } from './engines.ts';

/** Layers of a model whose attention follows one rule, in order. */
export interface LayerGroup {
  readonly layers: readonly number[];
  readonly window: number | undefined;
  readonly softCap: number | undefined;
  /** (layers, heads) */
  readonly sinks: readonly (readonly number[])[] | undefined;
}

/** Where a layer of the model is: the attention of its group, and its number there. */
export interface LayerPlace {
  readonly attention: Attention;
  readonly layer: number;
  /** Whether it reads all keys that it sees, whatever the policy. */
  readonly readsAllKeys: boolean;
}

/** Bytes of the caches of a session. */
export interface SessionMemory extends CacheMemory {
  /** Bytes of the pages of all sessions that share memory with this one, each once. */
  pool: number;
  /** Bytes of the buffers of the attention, which these sessions share as well. */
  buffers: number;
}

export interface LayerCaches {
  /** The attention of the layers whose keys a policy selects; where there are none, of the first layer. */
  readonly primary: Attention;
  /** Whether all layers are in one cache that has the keys of all tokens. */
  readonly inOneCache: boolean;
  placeOf(layer: number): LayerPlace;
  readonly memory: SessionMemory;
  /** Smallest length but 0 that the caches can be cut to: what windows have moved past is gone. */
  readonly minLength: number;
  /** As `KvCache.reserve` for all of them: throws where one has no room, and then none has any more than before. */
  reserve(count: number): void;
  commit(length: number): void;
  /** As `KvCache.truncate` for all of them: throws where one cannot be cut to this length, and then none is. */
  truncate(length: number): void;
  /** Caches of the same keys, which go on by themselves. Throws `cache-out-of-memory`, and then makes none. */
  fork(options: Pick<OwnOptions, 'onTrace'>): LayerCaches;
  dispose(): Promise<void>;
}

export interface LayerCachesOptions extends OwnOptions {
  config: ModelConfig;
  engines: Engines;
  capacity: number;
  threads: number;
  precision: Precision;
  /** Encodings for the layers that policies select keys in. */
  encodings: readonly Encoding[];
  costs?: StepCosts | undefined;
  /** The basis of each head's scan, (layers of the model, keyValueHeads), where heads are scanned by them. */
  scanBases?: readonly (ScanBasis | undefined)[];
  /** See `EngineOptions.deterministic`. */
  deterministic?: boolean | undefined;
  /** Whether phases are timed, for `onTrace`. */
  timed: boolean;
}

/** Whether every key that the layers see is read, whatever the policy. */
export const readsAllKeys = ({ window, softCap }: Pick<LayerAttention, 'window' | 'softCap'>): boolean =>
  window !== undefined || softCap !== undefined;

/** The layers that policies select keys in; the others have a window or a soft cap, and read every key that they see. */
export const selectiveLayers = ({ layerAttention }: Pick<ModelConfig, 'layerAttention'>): number[] =>
  [...layerAttention.keys()].filter((layer) => !readsAllKeys(layerAttention[layer] as LayerAttention));

/** The groups of a model's layers, in the order of their first layers. */
export function layerGroups({ layerAttention }: Pick<ModelConfig, 'layerAttention'>): LayerGroup[] {
  const groups = new Map<string, { layers: number[]; sinks: (readonly number[])[] }>();
  for (const [layer, { window, softCap, sinks }] of layerAttention.entries()) {
    const key = JSON.stringify([window, softCap, sinks !== undefined]);
    const group = groups.get(key) ?? { layers: [], sinks: [] };
    groups.set(key, group);
    group.layers.push(layer);
    if (sinks !== undefined) group.sinks.push(sinks);
  }
  return [...groups.values()].map(({ layers, sinks }) => {
    const { window, softCap } = layerAttention[layers[0] as number] ?? {};
    return { layers, window, softCap, sinks: sinks.length === 0 ? undefined : sinks };
  });
}

/** Keys that a group's cache holds at most: those of the context, or of the window, a page and the tokens of a pass. */
const groupCapacity = ({ window }: LayerGroup, capacity: number, passTokens: number): number =>
  window === undefined ? capacity : Math.min(capacity, window + PAGE_KEYS + passTokens);

const PAGE_KEYS = 64;

type GroupSizes = Pick<LayerCachesOptions, 'config' | 'capacity' | 'threads' | 'precision' | 'encodings'>;

/** What the caches take when they are full, and the buffers of passes of `passTokens` tokens. */
export function layerCacheBytes(sizes: GroupSizes, passTokens: number): ReturnType<typeof attentionBytes> {
  const sum = { cache: 0, cachePerToken: 0, open: 0, buffers: 0 };
  for (const group of layerGroups(sizes.config)) {
    const { cache, cachePerToken, open, buffers } = attentionBytes(groupSize(group, sizes, passTokens), passTokens);
    sum.cache += cache;
    sum.open += open;
    sum.buffers += buffers;
    if (group.window === undefined) sum.cachePerToken += cachePerToken;
  }
  return sum;
}

function groupSize(
  group: LayerGroup,
  { config, capacity, threads, precision, encodings }: GroupSizes,
  passTokens: number,
) {
  const { heads, keyValueHeads, headDim } = config;
  return {
    layers: group.layers.length,
    heads,
    keyValueHeads,
    headDim,
    precision,
    threads,
    capacity: groupCapacity(group, capacity, passTokens),
    encodings: readsAllKeys(group) ? [] : encodings,
  };
}

/** Empty caches for all layers. Throws as `createAttentionEngine` and `openAttention` do. */
export async function createLayerCaches(options: LayerCachesOptions): Promise<LayerCaches> {
  const { config, engines, costs, deterministic = false, scanBases, timed, onTrace } = options;
  const { heads, keyValueHeads, headDim } = config;
  const { capacity, threads, precision, encodings } = options;
  const groups = layerGroups(config);
  const attentions: Attention[] = [];
  try {
    for (const group of groups) {
      const { layers, window, softCap, sinks } = group;
      const readsAll = readsAllKeys(group);
      const engineOptions: EngineOptions = {
        layers: layers.length,
        keyValueHeads,
        headDim,
        heads,
        capacity,
        threads,
        precision,
        encodings: readsAll ? [] : encodings,
        timed,
        deterministic,
        ...(costs && !readsAll && { costs }),
        ...(scanBases &&
          !readsAll && { scanBases: layers.flatMap((layer) => basesOf(scanBases, layer, keyValueHeads)) }),
        ...(window !== undefined && { window }),
        ...(softCap !== undefined && { softCap }),
        ...(sinks && { sinks }),
      };
      const engine: AttentionEngine = await engines.acquire(engineOptions);
      try {
        const memoryLimit = limitOf(group, groups, options);
        const attentionOptions = { ...(onTrace && { onTrace }), ...(memoryLimit !== undefined && { memoryLimit }) };
        attentions.push(openAttention(engine, attentionOptions));
      } finally {
        await engine.release();
      }
    }
  } catch (error) {
    for (const attention of attentions) await attention.dispose();
    throw error;
  }
  return layerCaches(groups, attentions);
}

/** The bases of one layer (keyValueHeads). */
const basesOf = (bases: readonly (ScanBasis | undefined)[], layer: number, keyValueHeads: number) =>
  bases.slice(layer * keyValueHeads, (layer + 1) * keyValueHeads);

/** A group's part of the limit: windows take what they take at most, the others divide the rest by their layers. */
function limitOf(group: LayerGroup, groups: readonly LayerGroup[], options: LayerCachesOptions): number | undefined {
  const { memoryLimit } = options;
  if (memoryLimit === undefined || groups.length === 1) return memoryLimit;
  const bounded = groups.filter(({ window }) => window !== undefined);
  const bytesOf = (each: LayerGroup) => attentionBytes(groupSize(each, options, WINDOW_PASS_TOKENS), 1).cache;
  if (group.window !== undefined) return Math.min(memoryLimit, bytesOf(group) + tableBytes(options.capacity));
  const rest = bounded.reduce((sum, each) => sum - bytesOf(each) - tableBytes(options.capacity), memoryLimit);
  const layers = groups.reduce((sum, each) => sum + (each.window === undefined ? each.layers.length : 0), 0);
  return Math.max(1, Math.floor((rest * group.layers.length) / layers));
}

/** Tokens of a pass, at most, that a limit leaves room for in windows. */
const WINDOW_PASS_TOKENS = 1024;

/** Bytes of the page tables of a cache. */
const tableBytes = (capacity: number): number => 4096 + Math.ceil(capacity / PAGE_KEYS) * 8;

function layerCaches(groups: readonly LayerGroup[], attentions: readonly Attention[]): LayerCaches {
  const places: LayerPlace[] = [];
  for (const [i, group] of groups.entries()) {
    const attention = attentions[i] as Attention;
    for (const [at, layer] of group.layers.entries()) {
      places[layer] = { attention, layer: at, readsAllKeys: readsAllKeys(group) };
    }
  }
  const minLength = () => Math.max(...attentions.map(({ cache }) => cache.minLength));
  const primary = groups.findIndex((group) => !readsAllKeys(group));
  return {
    primary: attentions[Math.max(0, primary)] as Attention,
    inOneCache: groups.length === 1 && groups[0]?.window === undefined,
    placeOf: (layer) => places[layer] as LayerPlace,
    get memory() {
      const memory: SessionMemory = { own: 0, shared: 0, proportional: 0, pool: 0, buffers: 0 };
      for (const { cache, engine } of attentions) {
        const { own, shared, proportional } = cache.memory;
        memory.own += own;
        memory.shared += shared;
        memory.proportional += proportional;
        memory.pool += cache.pool.bytes;
        memory.buffers += engine.bufferBytes;
      }
      return memory;
    },
    get minLength() {
      return minLength();
    },
    reserve(count) {
      for (const [i, { cache }] of attentions.entries()) {
        try {
          cache.reserve(count);
        } catch (error) {
          for (const { cache: reserved } of attentions.slice(0, i)) reserved.truncate(reserved.length);
          throw error;
        }
      }
    },
    commit(length) {
      for (const { cache } of attentions) cache.commit(length);
    },
    truncate(length) {
      // The one that can be cut least says why, before the others are.
      const ordered = [...attentions].sort((a, b) => b.cache.minLength - a.cache.minLength);
      for (const { cache } of ordered) cache.truncate(length);
    },
    fork(options) {
      const forks: Attention[] = [];
      try {
        for (const attention of attentions) forks.push(attention.fork(options));
      } catch (error) {
        for (const fork of forks) fork.cache.dispose();
        throw error;
      }
      return layerCaches(groups, forks);
    },
    async dispose() {
      for (const attention of attentions) await attention.dispose();
    },
  };
}
