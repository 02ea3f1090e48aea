/**
 * Layers whose attention needs what the paged cache does not have: a window, a soft cap of scores, or sinks. They are
 * attended exactly, over keys and values in float32, of which a layer with a window keeps only those that may still be
 * seen.
 */
import { type AttentionReport, emptyReport } from 'keysieve';
import { llmError } from '../errors.ts';
import type { LayerAttention, ModelConfig, Projections } from '../model/index.ts';
import { type CachedAttentionOperator, createCachedAttentionOperator } from '../onnx/index.ts';

export interface ExactLayers {
  /** Layers of the paged cache: those that are not in here. */
  readonly pagedLayers: number;
  /** A layer's index in the paged cache, undefined for layers that are in here. */
  pagedLayer(layer: number): number | undefined;
  /** Bytes of keys and values. */
  readonly bytes: number;
  /** Smallest length but 0 that the keys can be cut to: what a window has moved past is gone. */
  readonly minLength: number;
  /** Appends keys and values at a position and attends to all that their queries see. */
  attend(layer: number, position: number, projections: Projections): Promise<ExactResult>;
  /** Makes the keys before `length` part of the cache: only those may be needed again. */
  commit(length: number): void;
  /** Throws `invalid-argument` for a length below `minLength` that the keys cannot be cut to. */
  requireLength(length: number): void;
  /** Forgets the keys from `length` on, which `requireLength` must allow. */
  truncate(length: number): void;
  /** A copy of all keys and values, which goes on by itself. */
  fork(): ExactLayers;
  /** Frees the operators, where no fork uses them. */
  release(): Promise<void>;
}

export interface ExactResult {
  outputs: Float32Array;
  report: AttentionReport;
}

/** Keys and values of one layer from position `start` on, (keyValueHeads, capacity, headDim) each. */
interface LayerRows {
  start: number;
  capacity: number;
  keys: Float32Array;
  values: Float32Array;
}

/** Rows that a layer has room for beside its window, so that they are moved once in many steps. */
const SPARE_ROWS = 1024;
/** Rows that a layer without a window begins with. */
const FIRST_ROWS = 256;

/** Whether a layer must be attended exactly. */
export function isExactLayer({ window, softCap, sinks }: LayerAttention): boolean {
  return window !== undefined || softCap !== undefined || sinks !== undefined;
}

/** Bytes of the keys and values of all exact layers of a model at a length. */
export function exactLayerBytes(config: ModelConfig, length: number): number {
  const { keyValueHeads, headDim, layerAttention } = config;
  const rows = layerAttention
    .filter(isExactLayer)
    .reduce((sum, { window = length }) => sum + Math.min(length, window + SPARE_ROWS), 0);
  return 2 * rows * keyValueHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}

interface ExactLayer {
  attention: LayerAttention;
  operator: CachedAttentionOperator;
  rows: LayerRows;
}

/** Throws `backend-failed`. */
export async function createExactLayers(config: ModelConfig, threads: number): Promise<ExactLayers> {
  const { heads, keyValueHeads, headDim, layerAttention } = config;
  const operators = new Map<string, CachedAttentionOperator>();
  const release = async () => {
    for (const operator of operators.values()) await operator.release();
  };
  const layers = new Map<number, ExactLayer>();
  try {
    for (const [layer, attention] of layerAttention.entries()) {
      if (!isExactLayer(attention)) continue;
      const { window, softCap, sinks } = attention;
      const key = JSON.stringify([window, softCap, sinks !== undefined]);
      const shape = { heads, keyValueHeads, headDim, window, softCap, sinks: sinks !== undefined };
      const operator = operators.get(key) ?? (await createCachedAttentionOperator(shape, threads));
      operators.set(key, operator);
      layers.set(layer, { attention, operator, rows: emptyRows() });
    }
  } catch (error) {
    await release();
    throw error;
  }
  let holders = 0;
  const operatorsHeld = {
    hold: () => {
      holders++;
    },
    letGo: async () => {
      if (--holders === 0) await release();
    },
  };
  return openExactLayers(config, layers, operatorsHeld, 0);
}

function openExactLayers(
  config: ModelConfig,
  layers: ReadonlyMap<number, ExactLayer>,
  operators: { hold(): void; letGo(): Promise<void> },
  length: number,
): ExactLayers {
  const { heads, keyValueHeads, headDim, layerAttention } = config;
  const paged = layerAttention.flatMap((attention, layer) => (isExactLayer(attention) ? [] : [layer]));
  let committed = length;
  let isReleased = false;
  operators.hold();

  /** Makes room for `count` rows at a position, and gives up those that no later query sees. */
  function reserve(rows: LayerRows, window: number | undefined, position: number, count: number): void {
    const held = position - rows.start;
    if (held + count <= rows.capacity) return;
    const firstNeeded = window === undefined ? 0 : Math.max(rows.start, committed - (window - 1));
    const kept = position - firstNeeded;
    const needed = kept + count;
    const capacity =
      needed <= rows.capacity
        ? rows.capacity
        : window === undefined
          ? Math.max(FIRST_ROWS, 2 * needed)
          : Math.max(window + SPARE_ROWS, needed + SPARE_ROWS);
    const move = (source: Float32Array) => {
      const target = capacity === rows.capacity ? source : new Float32Array(keyValueHeads * capacity * headDim);
      const first = firstNeeded - rows.start;
      for (let head = 0; head < keyValueHeads; head++) {
        const from = (head * rows.capacity + first) * headDim;
        const to = head * capacity * headDim;
        if (target === source) target.copyWithin(to, from, from + kept * headDim);
        else target.set(source.subarray(from, from + kept * headDim), to);
      }
      return target;
    };
    rows.keys = move(rows.keys);
    rows.values = move(rows.values);
    rows.start = firstNeeded;
    rows.capacity = capacity;
  }

  async function attend(layer: number, position: number, { q, k, v }: Projections): Promise<ExactResult> {
    const { attention, operator, rows } = layers.get(layer) as ExactLayer;
    const count = q.length / (heads * headDim);
    reserve(rows, attention.window, position, count);
    const sinks = attention.sinks && Float32Array.from(attention.sinks);
    const inputs = { queries: q, keys: k, values: v, past: position - rows.start, sinks };
    return { outputs: await operator.attend(rows, inputs), report: reportOf(config, attention, position, count) };
  }

  const minLengthOf = (rows: LayerRows, window: number | undefined) =>
    rows.start === 0 || window === undefined ? 0 : rows.start + window - 1;
  const minLength = () =>
    [...layers.values()].reduce((max, { rows, attention }) => Math.max(max, minLengthOf(rows, attention.window)), 0);

  return {
    pagedLayers: paged.length,
    pagedLayer: (layer) => {
      const index = paged.indexOf(layer);
      return index < 0 ? undefined : index;
    },
    get bytes() {
      return [...layers.values()].reduce((sum, { rows }) => sum + 2 * rows.keys.byteLength, 0);
    },
    get minLength() {
      return minLength();
    },
    attend,
    commit(length) {
      committed = length;
    },
    requireLength(length) {
      if (length === 0 || length >= minLength()) return;
      throw llmError({
        code: 'invalid-argument',
        problem: 'Layers with a window have forgotten keys that would be seen again.',
        found: `a cut to ${length} tokens`,
        remedy: `Cut to ${minLength()} tokens or more, or to none.`,
      });
    },
    truncate(length) {
      committed = length;
      if (length === 0) for (const { rows } of layers.values()) rows.start = 0;
    },
    fork() {
      const copies = [...layers].map(([layer, { rows, ...shared }]) => {
        const copy = { ...rows, keys: rows.keys.slice(), values: rows.values.slice() };
        return [layer, { ...shared, rows: copy }] as const;
      });
      return openExactLayers(config, new Map(copies), operators, committed);
    },
    async release() {
      if (isReleased) return;
      isReleased = true;
      await operators.letGo();
    },
  };
}

const emptyRows = (): LayerRows => ({
  start: 0,
  capacity: 0,
  keys: new Float32Array(0),
  values: new Float32Array(0),
});

/** What `count` queries from a position on have read: all keys that they see. */
function reportOf(
  { heads, keyValueHeads, headDim }: ModelConfig,
  { window = Number.POSITIVE_INFINITY }: LayerAttention,
  position: number,
  count: number,
): AttentionReport {
  let visible = 0;
  for (let row = 0; row < count; row++) visible += Math.min(window, position + row + 1);
  const rows = count * heads;
  const streamed = Math.min(position + count, window + count - 1);
  const bytesRead = 2 * keyValueHeads * streamed * headDim * Float32Array.BYTES_PER_ELEMENT;
  return { ...emptyReport(), rows, rowsFull: rows, keys: heads * visible, keysExact: heads * visible, bytesRead };
}
