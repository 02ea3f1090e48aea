/** Where the time of a pass through the model goes: phases of the attention, writing the cache, all other layers. */

import { type AttentionTrace, TRACE_PHASES, type TracePhase } from 'keysieve';
import { environment, printTrace } from '#platform';

/** Phases of a pass; those of the attention are explained at `TracePhase` of `keysieve`. */
export const PASS_PHASES = [...TRACE_PHASES, 'cache', 'layers'] as const;

/** A phase of the attention; `cache`: quantizing and writing keys and values; `layers`: everything but attention. */
export type PassPhase = TracePhase | 'cache' | 'layers';

/** Where the time of one pass went, in the calling thread. */
export interface PassTrace {
  /** Position of the first token. */
  position: number;
  /** Tokens of the pass: one where it decodes, more where it reads a prompt. */
  tokens: number;
  /** Milliseconds; the phases add up to the time of the pass. */
  milliseconds: Record<PassPhase, number>;
}

/** Collects what the attention of every layer reports, pass by pass. */
export interface PassTracer {
  onTrace(trace: AttentionTrace): void;
  /** Ends a pass that took `totalMs`, of which `attentionMs` were attention and writing the cache. */
  endPass(position: number, tokens: number, totalMs: number, attentionMs: number): void;
  /** Ends the session. */
  end(): void;
}

const noTimes = (): Record<PassPhase, number> =>
  Object.fromEntries(PASS_PHASES.map((phase) => [phase, 0])) as Record<PassPhase, number>;

const tracesToStderr = () => environment('KEYSIEVE_TRACE') === '1';

/** Whether somebody is to be told of passes. */
export const isTraced = (onPass: ((trace: PassTrace) => void) | undefined): boolean =>
  onPass !== undefined || tracesToStderr();

/** A tracer that hands every pass to `onPass`; none where nobody is to be told. */
export function createPassTracer(onPass: ((trace: PassTrace) => void) | undefined): PassTracer | undefined {
  const table = tracesToStderr() ? createTraceTable() : undefined;
  if (onPass === undefined && table === undefined) return undefined;
  let times = noTimes();
  return {
    onTrace({ milliseconds }) {
      for (const phase of TRACE_PHASES) times[phase] += milliseconds[phase];
    },
    endPass(position, tokens, totalMs, attentionMs) {
      const attend = TRACE_PHASES.reduce((sum, phase) => sum + times[phase], 0);
      times.cache = Math.max(0, attentionMs - attend);
      times.layers = Math.max(0, totalMs - attentionMs);
      const trace = { position, tokens, milliseconds: times };
      times = noTimes();
      table?.add(trace);
      onPass?.(trace);
    },
    end() {
      const text = table?.describe() ?? '';
      if (text !== '') printTrace(text);
    },
  };
}

/** Adds up the passes of a session: those that read prompts, and those that decode. */
export function createTraceTable() {
  const kinds = { prompt: { tokens: 0, times: noTimes() }, decoding: { tokens: 0, times: noTimes() } };
  return {
    add({ tokens, milliseconds }: PassTrace): void {
      const kind = tokens > 1 ? kinds.prompt : kinds.decoding;
      kind.tokens += tokens;
      for (const phase of PASS_PHASES) kind.times[phase] += milliseconds[phase];
    },
    /** Milliseconds a token, and the share of the time, by phase. Empty where there was no pass. */
    describe(): string {
      return Object.entries(kinds)
        .filter(([, { tokens }]) => tokens > 0)
        .map(([name, { tokens, times }]) => {
          const total = PASS_PHASES.reduce((sum, phase) => sum + times[phase], 0);
          const line = (label: string, ms: number) =>
            `  ${label.padEnd(8)} ${(ms / tokens).toFixed(3).padStart(9)} ${((100 * ms) / total).toFixed(1).padStart(5)} %\n`;
          const lines = PASS_PHASES.map((phase) => line(phase, times[phase])).join('');
          return `${name}: ${tokens} tokens, milliseconds a token in the calling thread\n${lines}${line('total', total)}`;
        })
        .join('');
    },
  };
}
