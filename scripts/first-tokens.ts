/**
 * How much slower the first tokens of an answer are than later ones: tokens 1 to 16 against tokens 65 to 128, behind a
 * prompt of 2,048 tokens. Only the first answer of a process shows what a process has not done before, so each run is a
 * process of its own.
 *
 *     npm run bench:first-tokens -- MODEL.gguf TEXT [RUNS]
 *
 * It prints both times and their ratio, by the clock and of the processor: the median of the runs, and the quartiles.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatSpread, type Spread, spreadOf, startClock, type Time } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';

const CONTEXT_TOKENS = 2048;
const FIRST = { from: 0, to: 16 };
const LATER = { from: 64, to: 128 };

type Times = { wall: number[]; cpu: number[] };

const [path, text, runs = '5', child] = process.argv.slice(2);
if (path === undefined || text === undefined) {
  console.error('usage: npm run bench:first-tokens -- MODEL.gguf TEXT [RUNS]');
  process.exitCode = 2;
} else if (child === 'child') {
  console.log(JSON.stringify(await timeOneAnswer(path, text)));
} else {
  const times = Array.from({ length: Number(runs) }, () => inAnotherProcess(path, text));
  for (const clock of ['wall', 'cpu'] as const) {
    const first = times.map((each) => meanOf(each[clock], FIRST));
    const later = times.map((each) => meanOf(each[clock], LATER));
    const show = (spread: Spread) => formatSpread(spread, 2);
    const ratio = show(spreadOf(first.map((ms, run) => ms / (later[run] as number))));
    const name = clock === 'wall' ? 'clock' : 'processor';
    console.log(`${name}: tokens 1-16 ${show(spreadOf(first))} ms, 65-128 ${show(spreadOf(later))} ms, ratio ${ratio}`);
  }
}

function inAnotherProcess(...args: string[]): Times {
  const command = [...process.execArgv, fileURLToPath(import.meta.url), ...args, '1', 'child'];
  return JSON.parse(execFileSync(process.execPath, command, { encoding: 'utf8' }));
}

/** Milliseconds from token to token of an answer, one by one. */
async function timeOneAnswer(model: string, file: string): Promise<Times> {
  await using loaded = await loadModel(model, { context: CONTEXT_TOKENS + LATER.to + 1 });
  const tokens = loaded.tokenizer.encode(readFileSync(file, 'utf8')).subarray(0, CONTEXT_TOKENS);
  await using session = await loaded.createSession();
  // Without drafts, so that every token is a pass of its own, and to the end whatever the model would say.
  const ends = [...loaded.tokenizer.endOfGeneration];
  const mask = (logits: Float32Array) => {
    for (const end of ends) logits[end] = Number.NEGATIVE_INFINITY;
  };
  const options = { maxTokens: LATER.to + 1, promptLookup: false, constraint: { mask, accept() {} } };
  const times: Times = { wall: [], cpu: [] };
  let clock: (() => Time) | undefined;
  for await (const _ of session.generate(loaded.tokenizer.decode(tokens), options)) {
    const time = clock?.();
    if (time !== undefined) for (const name of ['wall', 'cpu'] as const) times[name].push(time[name]);
    clock = startClock();
  }
  return times;
}

function meanOf(numbers: readonly number[], { from, to }: { from: number; to: number }): number {
  return numbers.slice(from, to).reduce((sum, ms) => sum + ms, 0) / (to - from);
}
