/**
 * Keysieve against llama.cpp on the same GGUF, text and threads: prefill, and decoding behind contexts of several
 * lengths. The two sides take turns, prefill by prefill and token by token, in one process, so that what else the
 * machine does hits both; figures are ratios of llama.cpp's time to ours (above 1: ours is faster), with their spread.
 *
 *   node dist/compare.mjs --model FILE.gguf --text FILE [--attention dense] [--budget fixed:256]
 *     [--prefill 2048] [--decode 512,8000] [--tokens 48] [--rounds 3] [--threads 2] [--json]
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { loadModel, type Model } from '@keysieve/llm';
import { loadPeer, type Peer } from './llama-cpp.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    text: { type: 'string' },
    attention: { type: 'string', default: 'dense' },
    budget: { type: 'string' },
    prefill: { type: 'string', default: '2048' },
    decode: { type: 'string', default: '512,8000' },
    tokens: { type: 'string', default: '48' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    skip: { type: 'string', default: '5000' },
    json: { type: 'boolean', default: false },
  },
});
if (values.model === undefined || values.text === undefined) {
  console.error('compare: give --model FILE.gguf and --text FILE');
  process.exit(2);
}

interface Row {
  what: 'prefill' | 'decode';
  context: number;
  /** Milliseconds: median, least, most. */
  ours: Spread;
  peer: Spread;
  /** Of the peer's time to ours, pair by pair. */
  ratio: Spread;
}

interface Spread {
  median: number;
  min: number;
  max: number;
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] as number;
  return { median: at(0.5), min: at(0), max: at(1) };
}

const numbers = (text: string): number[] => (text === '' ? [] : text.split(',').map(Number));

async function main(): Promise<void> {
  const threads = Number(values.threads);
  const lengths = [...numbers(values.prefill), ...numbers(values.decode)];
  const contextSize = Math.max(...lengths) + 256;
  const model = await loadModel(values.model as string, { precision: 'fast', threads, context: contextSize });
  const peer = await loadPeer({ model: values.model as string, threads, contextSize });
  const text = (await readFile(values.text as string, 'utf8')).slice(Number(values.skip));
  const tokens = model.tokenizer.encode(text.slice(0, contextSize * 8)).subarray(0, Math.max(...lengths) + 1);
  const rows: Row[] = [];
  for (const context of numbers(values.prefill))
    rows.push(await comparePrefill(model, peer, tokens.subarray(0, context)));
  for (const context of numbers(values.decode))
    rows.push(await compareDecode(model, peer, tokens.subarray(0, context)));

  const about = { ...peer.about, node: process.version, precision: model.precision, attention: values.attention };
  if (values.json) console.log(JSON.stringify({ about, rows }));
  else {
    console.log(about);
    console.table(
      rows.map(({ what, context, ours, peer, ratio }) => ({
        what,
        context,
        'ours ms': ours.median.toFixed(1),
        'llama.cpp ms': peer.median.toFixed(1),
        'llama.cpp / ours': `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`,
      })),
    );
  }
  await model.dispose();
  await peer.dispose();
}

const attention = () => ({
  policy: values.attention,
  ...(values.budget === undefined ? {} : { budget: values.budget }),
});

async function comparePrefill(model: Model, peer: Peer, tokens: Int32Array): Promise<Row> {
  const ours: number[] = [];
  const theirs: number[] = [];
  await using session = await model.createSession({ attention: attention() });
  for (let round = 0; round <= Number(values.rounds); round++) {
    session.truncate(0);
    const { prefillMs } = await session.generate(tokens, { maxTokens: 1 }).result;
    const peerMs = await peer.prefill([...tokens]);
    // The first round warms up.
    if (round > 0) {
      ours.push(prefillMs);
      theirs.push(peerMs);
    }
  }
  return rowOf('prefill', tokens.length, ours, theirs);
}

async function compareDecode(model: Model, peer: Peer, tokens: Int32Array): Promise<Row> {
  const ours: number[] = [];
  const theirs: number[] = [];
  await using session = await model.createSession({ attention: attention() });
  await peer.prefill([...tokens]);
  const count = Number(values.tokens);
  let step = 0;
  for await (const { milliseconds, token } of session.generate(tokens, { maxTokens: count })) {
    // The first piece comes with the prefill, and the next few warm up.
    const [peerMs] = await peer.decode([token], 1);
    if (step++ > 4) {
      ours.push(milliseconds);
      theirs.push(peerMs as number);
    }
  }
  return rowOf('decode', tokens.length, ours, theirs);
}

const rowOf = (what: Row['what'], context: number, ours: number[], theirs: number[]): Row => ({
  what,
  context,
  ours: spread(ours),
  peer: spread(theirs),
  ratio: spread(theirs.map((ms, i) => ms / (ours[i] as number))),
});

await main();
