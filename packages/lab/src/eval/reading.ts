/** Reads a context from which several policies continue, one after the other. */
import type { AttentionEvent, Session } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';

/** How a context is read. */
export interface ContextReading {
  session: Session;
  /** How the context is read. */
  attention: PolicySpec;
  /** The policies that continue from the context; those that evict keys observe its queries. */
  policies: readonly PolicySpec[];
  signal: AbortSignal;
  onRead?(done: number, total: number): void;
}

/** Tokens of a pass. */
const READ_TOKENS = 512;

/**
 * Reads the context into an empty cache. What continues from it does so in forks, since layers with a window cannot be cut
 * back to it. Gives the milliseconds of reading.
 */
export async function readContext(
  { session, attention, policies, signal, onRead }: ContextReading,
  context: Int32Array,
): Promise<number> {
  session.truncate(0);
  const onAttention = ({ attention: layerAttention, ...event }: AttentionEvent) =>
    layerAttention.observe({ ...event, policies });
  const options = { attention, chunkTokens: READ_TOKENS, shareSamples: true, logits: false, onAttention, signal };
  const started = performance.now();
  onRead?.(0, context.length);
  for await (const { position } of session.evaluate(context, options)) {
    onRead?.(Math.min(context.length, position + READ_TOKENS), context.length);
  }
  return performance.now() - started;
}
