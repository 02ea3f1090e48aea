/**
 * What the caches of sessions promise, measured on one model and one text: `npm run torture:cache -- [MODEL [TEXT [TOKENS [PARTS]]]]`.
 * Ends with code 1 where a promise is broken. Figures are of this machine, ratios of what one process did.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadModel, type Model, type Session } from '@keysieve/llm';

const [source = 'nano', textFile, count = '8192', parts = 'forks,snapshots,damages,kills,levels'] =
  process.argv.slice(2);
const KILLS = 50;
const DAMAGES = 500;
const STEPS = 32;

let broken = 0;
function report(name: string, value: number, limit: number, unit = ''): void {
  const holds = value <= limit;
  if (!holds) broken++;
  console.log(
    `${holds ? 'holds ' : 'BROKEN'}  ${name.padEnd(58)} ${value.toPrecision(3)}${unit} (at most ${limit}${unit})`,
  );
}

const folder = await mkdtemp(join(tmpdir(), 'keysieve-cache-'));
if (process.env.SAVE_TO !== undefined) await saveAgainAndAgain(process.env.SAVE_TO);
// Room for what is generated behind the text.
await using model = await loadModel(source, { threads: 2, context: Number(count) + 64 });
const text =
  textFile === undefined ? 'The number of amber fox is 48213. '.repeat(2000) : await readFile(textFile, 'utf8');
const tokens = model.tokenizer.encode(text, { special: false }).subarray(0, Number(count));
const next = model.tokenizer.encode(text, { special: false }).subarray(tokens.length, tokens.length + STEPS);

await using session = await model.createSession();
let started = performance.now();
await session.generate(tokens, { maxTokens: 1 }).result;
const readMs = performance.now() - started;
session.truncate(tokens.length);
console.log(`${model.name}: ${tokens.length} tokens read in ${(readMs / 1000).toFixed(1)} s`);

const attacks = { forks: () => forks(session), snapshots: () => snapshots(session), damages, kills, levels };
try {
  for (const part of parts.split(',')) await attacks[part as keyof typeof attacks]();
} finally {
  await rm(folder, { recursive: true });
}
process.exit(broken === 0 ? 0 : 1);

async function forks(parent: Session): Promise<void> {
  const rssBefore = parent.memory.pool;
  const times = Array.from({ length: 9 }, () => {
    const from = performance.now();
    const child = parent.fork();
    const ms = performance.now() - from;
    return { child, ms };
  });
  const median = times.map(({ ms }) => ms).sort((a, b) => a - b)[4] as number;
  report('milliseconds of a fork', median, 10);
  report('memory of a fork, of its parent', (parent.memory.pool - rssBefore) / 9 / rssBefore, 0.02);
  const children = times.slice(0, 8).map(({ child }) => child);
  for (const child of children) for await (const _ of child.evaluate(next.slice(0, 8)));
  const sessions = [parent, ...times.map(({ child }) => child)];
  const summed = sessions.reduce((sum, { memory }) => sum + memory.proportional, 0);
  report('sum of the parts of all forks, beside what there is', Math.abs(summed / parent.memory.pool - 1), 1e-9);
  report(
    'memory of eight forks that decode, of one',
    parent.memory.pool / rssBefore,
    1.02 + 8 * (64 / tokens.length) * 1.1,
  );
  for (const { child } of times) await child.dispose();
  report('bytes of the pool that are left when they are gone', parent.memory.pool - rssBefore, 0);
}

async function logitsOf(each: Session, ids: Int32Array): Promise<Float32Array[]> {
  const all: Float32Array[] = [];
  for await (const { logits } of each.evaluate(ids, { chunkTokens: 1 })) all.push(logits);
  return all;
}

async function snapshots(parent: Session): Promise<void> {
  const [whole, compact] = [join(folder, 'whole'), join(folder, 'compact')];
  started = performance.now();
  await parent.save(whole);
  const saveMs = performance.now() - started;
  await parent.save(compact, { compact: true });
  const cacheBytes = parent.memory.own + parent.memory.shared;
  report('bytes of the file, of the cache', (await stat(whole)).size / cacheBytes, 1.05);
  report('bytes of the compact file, of the cache', (await stat(compact)).size / cacheBytes, 0.45);
  await (await model.restore(whole)).dispose();
  started = performance.now();
  await using restored = await model.restore(whole);
  const restoreMs = performance.now() - started;
  console.log(`        saved in ${saveMs.toFixed(0)} ms, restored in ${restoreMs.toFixed(0)} ms`);
  report('time of restoring, of reading', restoreMs / readMs, 0.03);
  const [a, b] = [await logitsOf(parent, next), await logitsOf(restored, next)];
  report('logits that differ after restoring', a.filter((x, i) => x.some((y, j) => y !== b[i]?.[j])).length, 0);
  await using quantized = await model.restore(compact);
  const c = await logitsOf(quantized, next);
  const kl = a.reduce((sum, x, i) => sum + divergence(x, c[i] as Float32Array), 0) / a.length;
  console.log(`        KL of what is restored from the compact file: ${kl.toExponential(2)} nats, ${a.length} tokens`);
}

function divergence(p: Float32Array, q: Float32Array): number {
  const logSum = (x: Float32Array) => {
    const max = x.reduce((m, y) => Math.max(m, y), Number.NEGATIVE_INFINITY);
    return max + Math.log(x.reduce((sum, y) => sum + Math.exp(y - max), 0));
  };
  const [lp, lq] = [logSum(p), logSum(q)];
  return p.reduce((sum, x, i) => sum + Math.exp(x - lp) * (x - lp - ((q[i] as number) - lq)), 0);
}

/** A bit in every region of a small file: an error with a code, or fewer tokens, those that were saved. */
async function damages(): Promise<void> {
  await using small = await model.createSession();
  await small.generate(tokens.subarray(0, 200), { maxTokens: 1 }).result;
  const path = join(folder, 'small');
  await small.save(path);
  const file = new Uint8Array(await readFile(path));
  process.removeAllListeners('warning');
  process.on('warning', () => {});
  const counts = { refused: 0, shorter: 0, wrong: 0 };
  for (let i = 0; i < DAMAGES; i++) {
    const at = i < 100 ? i * 9 : Math.floor(((i - 100) / (DAMAGES - 100)) * file.length);
    const damaged = file.slice();
    damaged[at] = (damaged[at] as number) ^ (1 << (i % 8));
    try {
      const restored = await model.restore(new Blob([damaged]));
      const right = restored.tokens.every((token, j) => token === small.tokens[j]);
      counts[right && restored.tokens.length < small.tokens.length ? 'shorter' : 'wrong']++;
      await restored.dispose();
    } catch (error) {
      counts[String((error as { code?: string }).code).startsWith('snapshot-') ? 'refused' : 'wrong']++;
    }
  }
  console.log(`        ${DAMAGES} places damaged: ${counts.refused} refused, ${counts.shorter} shorter`);
  report('damaged files that were restored wrongly', counts.wrong, 0);
}

/** Sessions and short answers come and go: memory and threads stay. */
async function levels(): Promise<void> {
  const threads = async () => Number(/Threads:\s+(\d+)/.exec(await readFile('/proc/self/status', 'utf8'))?.[1]);
  await using prefixes = model.openPrefixes({ memoryLimit: 2 ** 26 });
  const short = tokens.subarray(0, 40);
  const seen: { rss: number; threads: number }[] = [];
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 25; i++) {
      await using each = await model.createSession({ prefixes });
      for (let j = 0; j < 10; j++) {
        await each.generate(
          short.map((token, k) => (k === i ? j + 40 : token)),
          { maxTokens: 2 },
        ).result;
      }
    }
    seen.push({ rss: process.memoryUsage.rss(), threads: await threads() });
  }
  const [, second, , last] = seen as [
    unknown,
    { rss: number; threads: number },
    unknown,
    { rss: number; threads: number },
  ];
  console.log(
    `        resident ${seen.map(({ rss }) => (rss / 2 ** 20).toFixed(0)).join(', ')} MiB after 250, 500, 750, 1,000 answers`,
  );
  report('resident memory after 1,000 answers, of that after 500', last.rss / second.rss, 1.05);
  report('threads that were added between', last.threads - second.threads, 0);
}

/** A child saves one of two sessions after the other until it is killed: the file is one of the two. */
async function kills(): Promise<void> {
  const path = join(folder, 'killed');
  let wrong = 0;
  await using nano = await loadModel('nano', { threads: 1 });
  for (let i = 0; i < KILLS; i++) {
    const child = fork(fileURLToPath(import.meta.url), [], { env: { ...process.env, SAVE_TO: path } });
    await once(child, 'message');
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
    child.kill('SIGKILL');
    await once(child, 'exit');
    try {
      const restored = await nano.restore(path);
      if (![300, 500].includes(restored.tokens.length)) wrong++;
      await restored.dispose();
    } catch {
      wrong++;
    }
  }
  report(`files that are neither the old nor the new, of ${KILLS} kills`, wrong, 0);
}

async function saveAgainAndAgain(path: string): Promise<never> {
  const nano: Model = await loadModel('nano', { threads: 1 });
  const sessions: Session[] = [];
  for (const length of [300, 500]) {
    const each = await nano.createSession();
    await each.generate(new Int32Array(length).fill(100), { maxTokens: 1 }).result;
    sessions.push(each);
  }
  await sessions[0]?.save(path);
  process.send?.('saving');
  for (;;) for (const each of sessions) await each.save(path);
}
