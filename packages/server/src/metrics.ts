/** What the server counts, for Prometheus. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { exactnessOf } from './chat/attention.ts';
import type { AnswerEvent } from './engine/answer.ts';
import type { Models } from './engine/models.ts';
import type { Queue } from './engine/queue.ts';

export interface Metrics {
  registry: Registry;
  /** A request was answered with this status. */
  answered(route: string, status: number): void;
  /** A request got its turn after `seconds`. */
  waited(seconds: number): void;
  /** Passes the events of an answer on and counts them; `arrived` is when the request came (`performance.now()`). */
  observe<Event extends AnswerEvent>(events: AsyncIterable<Event>, arrived: number): AsyncGenerator<Event, void>;
}

const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const TOKEN_SECONDS = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28];
const SHARES = [0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

export function createMetrics(models: Models, queue: Queue): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `keysieve_${name}`, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: number[], labelNames: string[] = []) =>
    new Histogram({ name: `keysieve_${name}`, help, buckets, labelNames, registers });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name: `keysieve_${name}`,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });

  const requests = counter('requests_total', 'Requests answered.', ['route', 'status']);
  const promptTokens = counter('prompt_tokens_total', 'Tokens of prompts.');
  const cachedTokens = counter('prompt_tokens_cached_total', 'Tokens of prompts that were in a cache.');
  const generatedTokens = counter('generated_tokens_total', 'Tokens generated.');
  const queueSeconds = histogram('queue_seconds', 'Time from arrival to the turn of a request.', SECONDS);
  const firstToken = histogram('first_token_seconds', 'Time from arrival to the first token.', SECONDS);
  const decode = histogram('decode_seconds', 'Time of a pass that decodes a token.', TOKEN_SECONDS);
  const phase = ['phase'];
  const keys = histogram('keys_share', 'Share of the keys that answers read exactly.', SHARES, phase);
  const exactness = [...phase, 'kind'];
  const leftOut = histogram(
    'left_out',
    'Share of the softmax not read exactly: mean; a bound or an estimate, by kind.',
    SHARES,
    exactness,
  );
  const error = histogram(
    'output_error',
    "Relative error of the attention's outputs: mean; a bound or an estimate, by kind.",
    SHARES,
    exactness,
  );

  const loaded = () => models.list().flatMap((each) => each.loaded ?? []);
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  gauge('running', 'Requests being answered.', () => queue.running);
  gauge('waiting', 'Requests waiting for their turn.', () => queue.waiting);
  gauge('models_loaded', 'Models in memory.', () => loaded().length);
  gauge('sessions', 'Sessions whose caches are kept.', () => sum(loaded().map(({ sessions }) => sessions.sessions)));
  gauge('cache_bytes', 'Bytes of the caches of sessions.', () =>
    sum(loaded().map(({ sessions }) => sessions.cacheBytes)),
  );
  gauge('resident_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss());

  return {
    registry,
    answered: (route, status) => requests.inc({ route, status: String(status) }),
    waited: (seconds) => queueSeconds.observe(seconds),
    async *observe(events, arrived) {
      let started = false;
      for await (const event of events) {
        if (event.type === 'token' && !started) {
          started = true;
          firstToken.observe((performance.now() - arrived) / 1000);
        }
        if (event.type === 'end') {
          const { result } = event;
          promptTokens.inc(result.promptTokens);
          cachedTokens.inc(result.reusedTokens);
          generatedTokens.inc(result.tokens.length);
          for (const ms of result.decodeMs) decode.observe(ms / 1000);
          const { prompt, answer } = exactnessOf(result);
          for (const [phase, part] of [
            ['prompt', prompt],
            ['answer', answer],
          ] as const) {
            if (part === null) continue;
            const labels = { phase };
            keys.observe(labels, part.share);
            if (part.left_out.mean !== null) leftOut.observe({ ...labels, kind: part.kind }, part.left_out.mean);
            if (part.output_error.mean !== null) error.observe({ ...labels, kind: part.kind }, part.output_error.mean);
          }
        }
        yield event;
      }
    },
  };
}
