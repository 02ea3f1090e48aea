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
 * Reads the context into an empty cache, and leaves it there so that it is the same whatever has been tried behind it
 * since: `ahead` tokens are tried at once, since the first keys to go past the end of a page close it, and a closed page
 * that is cut open again may hold other roundings. Gives the milliseconds of reading.
 */
export async function readContext(
  { session, attention, policies, signal, onRead }: ContextReading,
  context: Int32Array,
  lookaheadTokens: number,
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
  const milliseconds = performance.now() - started;
  const lookahead = new Int32Array(lookaheadTokens).fill(context[0] as number);
  for await (const _ of session.evaluate(lookahead, { logits: false, signal }));
  session.truncate(context.length);
  return milliseconds;
}
