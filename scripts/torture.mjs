/**
 * Attacks at scale, for a nightly run: `npm run torture` (after `npm run build`), or with the seconds of each attack and
 * a seed: `npm run torture -- 60 1`. Ends with code 1 where anything did not hold.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeysieveError, loadModel, openGguf } from '@keysieve/llm';
import { createAttention, policyEncodings } from 'keysieve';

const [seconds = 60, seed = 1] = process.argv.slice(2).map(Number);
const folder = await mkdtemp(join(tmpdir(), 'keysieve-torture-'));
const nano = new URL('../models/nano/nano.gguf', import.meta.url);

let state = seed >>> 0 || 1;
const random = () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
};
const below = (n) => Math.floor(random() * n);
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Repeats an attack for its share of the time; it returns what it tried, as counts by name, and throws where it does not hold. */
async function repeat(name, attack, share = 1) {
  const counts = { tries: 0, failed: 0 };
  const end = performance.now() + seconds * share * 1000;
  while (performance.now() < end) {
    counts.tries++;
    try {
      for (const [key, count] of Object.entries((await attack()) ?? {})) counts[key] = (counts[key] ?? 0) + count;
    } catch (error) {
      counts.failed++;
      if (counts.failed <= 5) console.error(`${name}:`, error);
    }
  }
  console.log(name.padEnd(34), JSON.stringify(counts));
  return counts.failed;
}

const content = await readFile(nano);

/** A file cut or changed anywhere, mostly in its header, opens or is refused with a code. */
async function mutateFile() {
  const bytes = Buffer.from(content.subarray(0, random() < 0.3 ? below(content.length) : content.length));
  const changes = 1 + below(4);
  for (let i = 0; i < changes && bytes.length > 0; i++) {
    bytes[random() < 0.8 ? below(Math.min(20_000, bytes.length)) : below(bytes.length)] = below(256);
  }
  const path = join(folder, 'mutated.gguf');
  await writeFile(path, bytes);
  try {
    await (await openGguf(path)).close();
    return { opened: 1 };
  } catch (error) {
    if (error instanceof KeysieveError) return { refused: 1 };
    throw error;
  }
}

/** Runs a program that loads nano and answers; killed after a while, unless undefined. */
function answerInProcess(cacheFolder, killAfter) {
  const program = `
    import { loadModel } from '@keysieve/llm';
    const model = await loadModel('nano', { cacheFolder: ${JSON.stringify(cacheFolder)}, threads: 1, precision: 'a8' });
    const session = await model.createSession({ attention: { policy: 'dense' } });
    console.log((await session.generate('The king said', { maxTokens: 6 }).result).tokens.join());
    await session.dispose();
    await model.dispose();`;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', program], {
      cwd: new URL('..', import.meta.url),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    if (killAfter !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfter);
    child.on('close', () => resolve(output.trim()));
  });
}

const expected = await answerInProcess(join(folder, 'reference'));
// Otherwise no answer would be as good as any.
if (expected === '') throw new Error('A process that is not killed does not answer.');

/** A process that is killed while it prepares a model leaves nothing that changes an answer. */
async function killWhilePreparing() {
  const cacheFolder = join(folder, `killed-${below(1e9)}`);
  const kills = 1 + below(3);
  for (let i = 0; i < kills; i++) await answerInProcess(cacheFolder, 150 + below(900));
  const tokens = await answerInProcess(cacheFolder);
  await rm(cacheFolder, { recursive: true, force: true });
  if (tokens !== expected) throw new Error(`the answer ${tokens}, where ${expected} was expected`);
  return { kills };
}

const model = await loadModel('nano', { threads: 1, context: 4096, cacheFolder: join(folder, 'cache') });
const session = await model.createSession({ denseFallback: false });
const text = 'The number of amber fox is 48213. '.repeat(60);

/** A session whose answers are aborted anywhere gives the same answers as one that was never. */
async function abortAnswers() {
  const prompt = text.slice(0, 100 + below(1900));
  const controller = new AbortController();
  setTimeout(() => controller.abort(), below(400));
  const result = await session.generate(prompt, { maxTokens: 40, signal: controller.signal }).result;
  session.truncate(0);
  const again = await session.generate(prompt, { maxTokens: 4 }).result;
  session.truncate(0);
  const fresh = await session.generate(prompt, { maxTokens: 4 }).result;
  session.truncate(0);
  if (again.text !== fresh.text) throw new Error(`${JSON.stringify(again.text)} after an abort`);
  return { aborted: Number(result.finishReason === 'aborted') };
}

/** Certified masses of int8 attention against float64, on keys of many scales. */
async function certify() {
  const policy = { policy: 'int8', budget: `fixed:${16 + below(100)}` };
  const [d, n] = [64, 64 + below(1500)];
  const scale = 10 ** (below(5) - 2);
  const rows = () => Float32Array.from({ length: n * d }, () => normal() * scale);
  const options = {
    layers: 1,
    keyValueHeads: 1,
    headDim: d,
    heads: 1,
    capacity: n,
    precision: 'f32',
    encodings: policyEncodings(policy),
  };
  const attention = await createAttention(options);
  const [keys, values] = [rows(), rows()];
  attention.cache.reserve(n);
  attention.cache.write(0, 0, keys, values);
  attention.cache.commit(n);
  const queries = keys.slice(0, d).map((x) => x * random());
  const { outputs, report } = attention.attend({ layer: 0, position: n - 1, queries, policy });
  await attention.dispose();
  const scores = Array.from({ length: n }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += queries[i] * keys[j * d + i];
    return sum / Math.sqrt(d);
  });
  const max = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((s) => Math.exp(s - max));
  const total = weights.reduce((a, b) => a + b, 0);
  const sorted = [...weights].sort((a, b) => b - a);
  // No choice of this number of keys leaves out less than this.
  const least = 1 - sorted.slice(0, Math.round(report.keysExact)).reduce((a, b) => a + b, 0) / total;
  const bound = report.tailMass.max;
  if (report.certificate === 'certified' && !(bound >= least - 1e-6))
    throw new Error(`${bound}, where ${least} is left out`);
  const exact = new Float64Array(d);
  for (let j = 0; j < n; j++) for (let i = 0; i < d; i++) exact[i] += (weights[j] / total) * values[j * d + i];
  const norm = Math.hypot(...exact);
  const error = Math.hypot(...exact.map((x, i) => x - outputs[i])) / norm;
  const allowed = report.outputError.max + 1e-4;
  if (report.certificate === 'certified' && !(error <= allowed))
    throw new Error(`an error of ${error}, at most ${allowed}`);
  return { certified: Number(report.certificate === 'certified') };
}

let failed = 0;
failed += await repeat('mutations of a model file', mutateFile);
failed += await repeat('kills while a model is prepared', killWhilePreparing);
failed += await repeat('aborts of answers', abortAnswers);
failed += await repeat('attention against float64', certify);
await session.dispose();
await model.dispose();
await rm(folder, { recursive: true, force: true });
console.log(failed === 0 ? 'All held.' : `${failed} did not hold.`);
process.exitCode = failed === 0 ? 0 : 1;
