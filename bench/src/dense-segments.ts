/**
 * The non-attention layers of a model alone: milliseconds of a token, tokens a second of a prefill, and
 * what its weights take in memory against what is predicted. Wall-clock times are minimum and median of the rounds;
 * CPU times, which other work on the machine disturbs less, are minima.
 *
 *   node --expose-gc dist/dense-segments.mjs --model FILE.gguf [--precision fp32,a8,w8a8] [--threads 2]
 *     [--chunks 128,512] [--rounds 5] [--cache FOLDER]
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startClock } from '@keysieve/lab';
import { inspectTransformerSegments, loadTransformerSegments, openGguf, type TransformerSegments } from '@keysieve/llm';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    precision: { type: 'string', default: 'fp32,a8,w8a8' },
    threads: { type: 'string', default: '2' },
    chunks: { type: 'string', default: '128,512' },
    rounds: { type: 'string', default: '5' },
    cache: { type: 'string' },
  },
});
if (values.model === undefined) {
  console.error('dense-segments: give --model FILE.gguf');
  process.exit(2);
}

interface Times {
  wallMs: { min: number; median: number };
  cpuMs: number;
}

async function measure(rounds: number, work: () => Promise<unknown>): Promise<Times> {
  const wall: number[] = [];
  const cpu: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const clock = startClock();
    await work();
    const time = clock();
    wall.push(time.wall);
    cpu.push(time.cpu);
  }
  wall.sort((a, b) => a - b);
  return { wallMs: { min: wall[0] as number, median: wall[rounds >> 1] as number }, cpuMs: Math.min(...cpu) };
}

/** A pass at position 0 whose attention gives zeros. */
function forwardPass(
  { config, forward }: TransformerSegments,
  tokens: number,
  logits: 'last' | 'none',
): () => Promise<unknown> {
  const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 37) % config.vocabularySize);
  const attended = new Float32Array(tokens * config.heads * config.headDim);
  return () => forward(ids, 0, () => attended, { logits });
}

const mebibytes = (bytes: number) => bytes / 2 ** 20;

/** Resident memory in MiB: all of it, and what does not belong to files. Linux only. */
function residentMemory(): { all: number; anonymous: number } {
  const status = readFileSync('/proc/self/status', 'utf8');
  const field = (key: string) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
  return { all: field('VmRSS'), anonymous: field('RssAnon') };
}

async function settledMemory(): Promise<ReturnType<typeof residentMemory>> {
  globalThis.gc?.();
  await new Promise((done) => setTimeout(done, 300));
  return residentMemory();
}

async function report(path: string, precision: 'fp32' | 'a8' | 'w8a8'): Promise<void> {
  const threads = Number(values.threads);
  await using gguf = await openGguf(path);
  const { memory } = inspectTransformerSegments(gguf, precision);
  const before = await settledMemory();
  const loadStart = performance.now();
  await using model = await loadTransformerSegments(gguf, {
    precision,
    threads,
    ...(values.cache === undefined ? {} : { cacheFolder: values.cache }),
  });
  const loadMs = performance.now() - loadStart;
  const loaded = await settledMemory();

  const token = await measure(60, forwardPass(model, 1, 'last'));
  console.log(`${precision}, ${threads} threads, loaded in ${loadMs.toFixed(0)} ms`);
  console.log(`  1 token: ${line(token)}`);
  for (const tokens of values.chunks.split(',').map(Number)) {
    const chunk = await measure(Number(values.rounds), forwardPass(model, tokens, 'none'));
    const rate = (tokens / chunk.wallMs.min) * 1000;
    console.log(`  ${tokens} tokens: ${line(chunk)}, at most ${rate.toFixed(0)} tokens/s`);
  }
  const used = await settledMemory();
  const [packed, mapped, segments] = [memory.packed, memory.mapped, memory.segments].map(mebibytes) as number[];
  console.log(
    `  predicted: weights ${packed?.toFixed(0)}, mapped up to ${mapped?.toFixed(0)}, segments ${segments?.toFixed(0)} MiB`,
  );
  console.log(`  measured, loaded: ${growth(before, loaded)}; after the chunks: ${growth(before, used)}`);
}

const line = ({ wallMs, cpuMs }: Times) =>
  `${wallMs.min.toFixed(2)} ms (median ${wallMs.median.toFixed(2)}), processor ${cpuMs.toFixed(2)} ms`;

function growth(before: ReturnType<typeof residentMemory>, after: ReturnType<typeof residentMemory>): string {
  const anonymous = after.anonymous - before.anonymous;
  return `${anonymous.toFixed(0)} MiB and ${(after.all - before.all - anonymous).toFixed(0)} of files`;
}

for (const precision of values.precision.split(',')) await report(values.model, precision as 'fp32' | 'a8' | 'w8a8');
