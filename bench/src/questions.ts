/**
 * Three questions over one long text, as a chat application asks them: this server, spoken to by the openai package,
 * beside node-llama-cpp's chat session in this process. Both keep what they have read between the questions. From the
 * root, after `npm run build` and `npm ci --prefix bench`:
 *
 *   node --conditions keysieve-source --import tsx bench/src/questions.ts --model FILE.gguf --text TEXT.txt \
 *     [--tokens 8192] [--answer 64] [--rounds 2] [--threads 2] [--json]
 *
 * The two sides take turns, each with a cache that is empty at the beginning of its turn. Ratios are this server's time
 * over the peer's, by the clock and by the processor, whose time other programs change less: below 1, the server is faster.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';
import { localModel, startServer } from '@keysieve/server';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    text: { type: 'string' },
    tokens: { type: 'string', default: '8192' },
    answer: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const { model, text } = values;
if (model === undefined || text === undefined) {
  console.error('questions: give --model FILE.gguf and --text TEXT.txt');
  process.exit(2);
}
const [tokens, answer, rounds, threads] = [values.tokens, values.answer, values.rounds, values.threads].map(Number) as [
  number,
  number,
  number,
  number,
];
const CONTEXT = tokens + 1024;
const QUESTIONS = [
  'Who are the main characters of this text?',
  'Where does it take place?',
  'Summarize the text in two sentences.',
];

/** Seconds from each question to its last token, processor seconds of them all, and the tokens of the answers. */
interface Turn {
  seconds: number[];
  processorSeconds: number;
  tokens: number[];
}

/** Processor seconds of this process, on all threads. */
function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Says how long a question took, since a turn may take minutes. */
const report = (side: string, turn: Turn) =>
  console.error(
    `${side}: question ${turn.seconds.length} of ${QUESTIONS.length}, ${turn.seconds.at(-1)?.toFixed(1)} s`,
  );

/** The first `tokens` tokens of the text, as text. */
async function readDocument(): Promise<string> {
  await using loaded = await loadModel(resolve(model as string), { context: CONTEXT, threads });
  const whole = await readFile(text as string, 'utf8');
  return loaded.tokenizer.decode(loaded.tokenizer.encode(whole).slice(0, tokens));
}

async function askServer(document: string): Promise<Turn> {
  const server = await startServer({
    port: 0,
    models: [localModel('model', resolve(model as string), { context: CONTEXT, threads })],
  });
  await server.ready;
  const messages: { role: string; content: string }[] = [];
  const turn: Turn = { seconds: [], processorSeconds: -processorSeconds(), tokens: [] };
  try {
    for (const [index, question] of QUESTIONS.entries()) {
      messages.push({ role: 'user', content: index === 0 ? `${document}\n\n${question}` : question });
      const start = performance.now();
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ model: 'model', messages, temperature: 0, max_tokens: answer }),
      });
      const body = await response.json();
      if (!response.ok) throw new Error(body.error.message);
      turn.seconds.push((performance.now() - start) / 1000);
      turn.tokens.push(body.usage.completion_tokens);
      messages.push({ role: 'assistant', content: body.choices[0].message.content });
      report('server', turn);
    }
    turn.processorSeconds += processorSeconds();
  } finally {
    await server.close();
  }
  return turn;
}

async function openPeer() {
  const { resolve: find } = createRequire(resolve('bench/package.json'));
  const library = await import(pathToFileURL(find('node-llama-cpp')).href);
  const logLevel = library.LlamaLogLevel.error;
  const llama = await library.getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel,
  });
  const loaded = await llama.loadModel({ modelPath: resolve(model as string) });
  return async (document: string): Promise<Turn> => {
    const ideal = { ideal: threads, min: threads };
    const context = await loaded.createContext({ contextSize: CONTEXT, flashAttention: true, threads: ideal });
    const session = new library.LlamaChatSession({ contextSequence: context.getSequence() });
    const turn: Turn = { seconds: [], processorSeconds: -processorSeconds(), tokens: [] };
    for (const [index, question] of QUESTIONS.entries()) {
      const start = performance.now();
      let count = 0;
      await session.prompt(index === 0 ? `${document}\n\n${question}` : question, {
        maxTokens: answer,
        temperature: 0,
        onToken: (part: readonly number[]) => {
          count += part.length;
        },
      });
      turn.seconds.push((performance.now() - start) / 1000);
      turn.tokens.push(count);
      report('node-llama-cpp', turn);
    }
    turn.processorSeconds += processorSeconds();
    await context.dispose();
    return turn;
  };
}

const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
const document = await readDocument();
const askPeer = await openPeer();
const pairs: { server: Turn; peer: Turn }[] = [];
for (let round = 0; round < rounds; round++) {
  pairs.push({ server: await askServer(document), peer: await askPeer(document) });
}
if (values.json) {
  console.log(
    JSON.stringify({ model, tokens, answer, threads, node: process.version, questions: QUESTIONS, pairs }, null, 2),
  );
} else {
  const seconds = (turn: Turn) => turn.seconds.map((each) => each.toFixed(1)).join(' + ');
  const rows = pairs.map(({ server, peer }, index) => [
    String(index + 1),
    seconds(server),
    server.tokens.join(', '),
    seconds(peer),
    peer.tokens.join(', '),
    (sum(server.seconds) / sum(peer.seconds)).toFixed(2),
    (server.processorSeconds / peer.processorSeconds).toFixed(2),
  ]);
  const header = ['round', 'server, s', 'tokens', 'node-llama-cpp, s', 'tokens', 'ratio', 'of the processor'];
  console.log(formatTable(header, rows));
}
process.exit(0);
