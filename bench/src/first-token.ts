/**
 * How long a reader waits for the first token of an answer over one long text: of the first question, of the second one
 * over the same text, and of a third one after the server has been started again with the same folder. From the root:
 *
 *   node --conditions keysieve-source --import tsx bench/src/first-token.ts --model FILE.gguf --text TEXT.txt \
 *     [--tokens 8192] [--rounds 1] [--threads 2] [--json]
 *
 * Every round begins with an empty folder, and the server is a process of its own. Shares are of the first wait.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    text: { type: 'string' },
    tokens: { type: 'string', default: '8192' },
    rounds: { type: 'string', default: '1' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const { model, text } = values;
if (model === undefined || text === undefined) {
  console.error('first-token: give --model FILE.gguf and --text TEXT.txt');
  process.exit(2);
}
const [tokens, rounds, threads] = [values.tokens, values.rounds, values.threads].map(Number) as [
  number,
  number,
  number,
];
const CONTEXT = tokens + 1024;
const COMMAND = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const QUESTIONS = ['Who are the main characters?', 'Where does it take place?', 'How does it begin?'] as const;

/** What a client has seen of an answer. */
interface Seen {
  /** From the request to the first token. */
  seconds: number;
  promptTokens: number;
  cachedTokens: number;
}

/** The first `tokens` tokens of the text, as text. */
async function readDocument(path: string): Promise<string> {
  await using loaded = await loadModel(resolve(model as string), { context: CONTEXT, threads });
  const whole = await readFile(path, 'utf8');
  return loaded.tokenizer.decode(loaded.tokenizer.encode(whole).slice(0, tokens));
}

/** Runs `use` with a server whose first model is loaded. */
async function withServer<T>(folder: string, use: (url: string) => Promise<T>): Promise<T> {
  const serve = ['serve', '--model', `model=${resolve(model as string)}`, '--port', '0', '--cache-dir', folder];
  const options = ['--context', String(CONTEXT), '--threads', String(threads)];
  const child = spawn(process.execPath, [...process.execArgv, COMMAND, ...serve, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  let said = '';
  try {
    const url = await new Promise<string>((found, fail) => {
      child.stderr.on('data', (piece: Buffer) => {
        said += piece;
        const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(said) ?? [];
        if (address !== undefined) found(address);
      });
      child.once('exit', () => fail(new Error(`the server has ended: ${said}`)));
    });
    while (!(await fetch(`${url}/health`)).ok) await new Promise((wait) => setTimeout(wait, 50));
    return await use(url);
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

async function ask(url: string, document: string, question: string): Promise<Seen> {
  const started = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model: 'model',
      messages: [{ role: 'user', content: `${document}\n\n${question}` }],
      temperature: 0,
      max_tokens: 8,
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  if (!response.ok) throw new Error(await response.text());
  let pending = '';
  let seconds: number | undefined;
  for await (const piece of response.body as ReadableStream<Uint8Array>) {
    const blocks = (pending + Buffer.from(piece).toString()).split('\n\n');
    pending = blocks.pop() as string;
    for (const block of blocks) {
      if (!block.startsWith('data: {')) continue;
      const { choices, usage, error } = JSON.parse(block.slice(6));
      if (error !== undefined) throw new Error(error.message);
      // A model may have nothing to say: then its first token is the end.
      if (choices[0]?.delta.content || choices[0]?.finish_reason) seconds ??= (performance.now() - started) / 1000;
      if (usage === undefined || usage === null || seconds === undefined) continue;
      const { prompt_tokens: promptTokens, prompt_tokens_details: details } = usage;
      return { seconds, promptTokens, cachedTokens: details.cached_tokens };
    }
  }
  throw new Error('the stream ended without usage');
}

const document = await readDocument(text);
const turns: [first: Seen, second: Seen, afterRestart: Seen][] = [];
for (let round = 0; round < rounds; round++) {
  const folder = await mkdtemp(join(tmpdir(), 'keysieve-first-token-'));
  try {
    const [first, second] = await withServer(folder, async (url) => [
      await ask(url, document, QUESTIONS[0]),
      await ask(url, document, QUESTIONS[1]),
    ]);
    const afterRestart = await withServer(folder, (url) => ask(url, document, QUESTIONS[2]));
    turns.push([first as Seen, second as Seen, afterRestart]);
  } finally {
    await rm(folder, { recursive: true });
  }
}
if (values.json) console.log(JSON.stringify({ model, tokens, threads, node: process.version, turns }, null, 2));
else {
  const names = ['first question', 'second question', 'after a restart'];
  const rows = turns.flatMap((turn) =>
    turn.map(({ seconds, promptTokens, cachedTokens }, i) => [
      names[i] as string,
      seconds.toFixed(2),
      `${((100 * seconds) / turn[0].seconds).toFixed(1)} %`,
      `${cachedTokens} of ${promptTokens}`,
    ]),
  );
  console.log(formatTable(['', 'first token, s', 'of the first', 'tokens found'], rows));
}
