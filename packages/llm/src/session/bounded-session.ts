/**
 * Reading in bounded memory: a text of any length, of which a number of keys a head stays and what remains of all others
 * (`BoundedAttention`). Unlike a session it cannot go back to an earlier length, nor be saved.
 */
import { type AttentionReport, addReport, emptyReport, type PolicySpec } from 'keysieve';
import { type BoundedAttention, createBoundedAttention } from 'keysieve/engine';
import { llmError } from '../errors.ts';
import type { ModelConfig, TransformerSegments } from '../model/index.ts';

/** Options of a bounded session. */
export interface BoundedSessionOptions {
  /** An eviction with remains, and a budget that does not grow. Default: `remains` with `fixed:512`. */
  attention?: PolicySpec;
}

/** Options of reading. */
export interface BoundedReadOptions {
  /** Stops between two passes, or within one, which is then as if it had not begun. */
  signal?: AbortSignal | undefined;
  /** Called after every pass with the tokens that this call has read. */
  onProgress?: ((done: number) => void) | undefined;
}

/** What reading gives. */
export interface BoundedStep {
  /** Logits of the last token (vocabulary). */
  logits: Float32Array;
  report: AttentionReport;
}

/** A text that is read in bounded memory. Made by `model.createBoundedSession`. */
export interface BoundedSession extends AsyncDisposable {
  /** Tokens that it has read. */
  readonly length: number;
  /** Bytes of kept keys, remains and buffers. */
  readonly bytes: number;
  /**
   * Reads tokens behind those before. Throws `invalid-argument` for none, `session-busy` while it reads, `prompt-too-long`
   * past the context, `aborted`, `disposed`, and what the model throws; the passes before the error have been read then.
   */
  read(tokens: Int32Array, options?: BoundedReadOptions): Promise<BoundedStep>;
  /** A session that has read the same, and goes on by itself. Throws `session-busy` while this one reads, and `disposed`. */
  fork(): Promise<BoundedSession>;
  dispose(): Promise<void>;
}

interface BoundedModel {
  segments: TransformerSegments;
  threads: number;
}

/** Throws `invalid-argument` where the policy or the layers of the model do not do. */
export async function createBoundedSession(
  { segments, threads }: BoundedModel,
  { attention: policy = { policy: 'remains', budget: 'fixed:512' } }: BoundedSessionOptions = {},
): Promise<BoundedSession> {
  checkLayers(segments.config);
  const { layers, heads, keyValueHeads, headDim } = segments.config;
  const attention = await createBoundedAttention({ layers, heads, keyValueHeads, headDim, policy, threads });
  return openBounded(segments, attention);
}

function openBounded(segments: TransformerSegments, attention: BoundedAttention): BoundedSession {
  let isReading = false;
  const dispose = () => attention.dispose();
  return {
    get length() {
      return attention.length;
    },
    get bytes() {
      return attention.bytes;
    },
    async read(tokens, options = {}) {
      checkIdle(isReading);
      checkTokens(tokens);
      isReading = true;
      try {
        return await readTokens(segments, attention, tokens, options);
      } finally {
        isReading = false;
      }
    },
    async fork() {
      checkIdle(isReading);
      return openBounded(segments, await attention.fork());
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

async function readTokens(
  segments: TransformerSegments,
  attention: BoundedAttention,
  tokens: Int32Array,
  { signal, onProgress }: BoundedReadOptions,
): Promise<BoundedStep> {
  const report = emptyReport();
  let logits: Float32Array | undefined;
  for (let from = 0; from < tokens.length; ) {
    const to = Math.min(tokens.length, from + attention.room);
    attention.reserve(to - from);
    const attend = (layer: number, { q, k, v }: { q: Float32Array; k: Float32Array; v: Float32Array }) => {
      const outputs = new Float32Array(q.length);
      addReport(report, attention.attend(layer, { queries: q, keys: k, values: v }, outputs));
      return outputs;
    };
    const passOptions = {
      logits: to === tokens.length ? ('last' as const) : ('none' as const),
      ...(signal && { signal }),
    };
    logits = await segments.forward(tokens.subarray(from, to), attention.length, attend, passOptions);
    attention.commit();
    from = to;
    onProgress?.(from);
  }
  return { logits: logits as Float32Array, report };
}

function checkLayers({ layerAttention }: Pick<ModelConfig, 'layerAttention'>): void {
  const layer = layerAttention.findIndex(({ window, softCap, sinks }) => window ?? softCap ?? sinks);
  if (layer < 0) return;
  throw llmError({
    code: 'invalid-argument',
    problem: 'Memory is bounded for layers whose attention is a softmax over all keys.',
    found: `layer ${layer}, which has a window, a soft cap or sinks`,
    remedy: 'Create a session.',
  });
}

function checkIdle(isReading: boolean): void {
  if (!isReading) return;
  throw llmError({
    code: 'session-busy',
    problem: 'The session is reading already.',
    remedy: 'Await what it reads first.',
  });
}

function checkTokens({ length }: Int32Array): void {
  if (length > 0) return;
  throw llmError({ code: 'invalid-argument', problem: 'There are no tokens to read.', remedy: 'Pass at least one.' });
}
