/** One pass of a text through a model, every layer attended in full, in caches of its own: for calibrations. */
import type { Projections, RequestedLogits, TransformerSegments } from '../model/index.ts';
import { createEngines } from './engines.ts';
import { createLayerCaches, type LayerPlace } from './layer-caches.ts';

export interface FullPassOptions {
  /** Tokens whose logits are wanted. */
  logits: RequestedLogits;
  signal?: AbortSignal | undefined;
  /** Called before each layer is attended. */
  onLayer(layer: number, projections: Projections, place: LayerPlace): void;
}

/** Runs the tokens from position 0 on. Returns the logits, undefined where none were wanted. */
export async function runInFull(
  segments: TransformerSegments,
  tokens: Int32Array,
  { logits, signal, onLayer }: FullPassOptions,
): Promise<Float32Array | undefined> {
  const { config } = segments;
  const sizes = { capacity: tokens.length, threads: 1, precision: 'f32', encodings: [], timed: false } as const;
  const caches = await createLayerCaches({ config, engines: createEngines(), ...sizes });
  try {
    caches.reserve(tokens.length);
    return await segments.forward(
      tokens,
      0,
      (modelLayer, projections) => {
        const place = caches.placeOf(modelLayer);
        onLayer(modelLayer, projections, place);
        const { attention, layer } = place;
        attention.cache.write(layer, 0, projections.k, projections.v);
        return attention.attend({ layer, position: 0, queries: projections.q, policy: { policy: 'dense' } }).outputs;
      },
      { logits, ...(signal && { signal }) },
    );
  } finally {
    await caches.dispose();
  }
}
