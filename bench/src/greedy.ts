/**
 * Whether greedy texts are llama.cpp's: of our dense attention in fp32, of llama.cpp on the same file, and of llama.cpp on
 * the file's values in float32. llama.cpp rounds activations to 8 bits where weights are quantized, and nothing where they
 * are not: a difference that is gone on the second file is due to its rounding. Needs 4 bytes of disk a parameter.
 *
 *   node --conditions keysieve-source --import tsx bench/src/greedy.ts --model FILE.gguf [--tokens 48] [--text FILE]
 */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { argmax, formatTable, klDivergence, loadLlamaCpp, logSoftmax, type Peer } from '@keysieve/lab';
import { dequantize, type GgufFile, loadModel, openGguf, type Session } from '@keysieve/llm';
import { ggufHeader, type WrittenTensor } from '../../packages/llm/test/gguf-writer.ts';
import { readTypedMetadata } from './typed-metadata.ts';

const { values } = parseArgs({
  options: { model: { type: 'string' }, tokens: { type: 'string', default: '48' }, text: { type: 'string' } },
});
if (values.model === undefined) {
  console.error('greedy: give --model FILE.gguf');
  process.exit(2);
}
const count = Number(values.tokens);
const prompts = [
  'The capital of France is',
  'In 1815, at 12:30, 48,999 men marched 1,234.5 miles; naïve café — “quotes”… \n\n\tdef f(x):\n        return x**2\n',
  'Name three rivers. The Seine, the Po, and the Danube are three rivers of Europe. Where there is a will there is a',
  ...(values.text === undefined ? [] : [(await readFile(values.text, 'utf8')).slice(0, 2_000)]),
];

const folder = await mkdtemp(join(tmpdir(), 'keysieve-greedy-'));
try {
  const floatPath = join(folder, 'float.gguf');
  await writeFloatCopy(values.model, floatPath);
  const ours = await ourAnswers(values.model);
  const rounded = await peerAnswers(values.model, ours);
  const float = await peerAnswers(floatPath, ours);
  console.log(
    formatTable(
      ['prompt', 'tokens', 'first difference (margin) on the file', 'KL', 'on its float32 values', 'KL'],
      ours.map(({ ids }, i) => [
        JSON.stringify((prompts[i] as string).slice(0, 24)),
        String(ids.length),
        ...describe(rounded[i] as Comparison),
        ...describe(float[i] as Comparison),
      ]),
    ),
  );
} finally {
  await rm(folder, { recursive: true });
}

/** A greedy answer, with the log-probabilities that each of its tokens was chosen by. */
interface Answer {
  ids: number[];
  tokens: number[];
  logProbabilities: Float64Array[];
}

interface Comparison {
  /** The first token that the peer would not have chosen, undefined where there is none. */
  first: number | undefined;
  /** By how much the peer prefers another, in nats. */
  margin: number;
  /** Mean divergence of our predictions from the peer's, in nats. */
  kl: number;
}

function describe({ first, margin, kl }: Comparison): [string, string] {
  return [first === undefined ? `none in ${count}` : `${first} (${margin.toFixed(4)})`, kl.toExponential(1)];
}

async function ourAnswers(path: string): Promise<Answer[]> {
  await using model = await loadModel(path, { precision: 'fp32', context: 2_048 });
  const answers: Answer[] = [];
  for (const prompt of prompts) {
    await using session = await model.createSession({ attention: { policy: 'dense' } });
    const ids = [...model.encode(prompt)];
    answers.push({ ids, ...(await greedy(session, ids, model.config.vocabularySize)) });
  }
  return answers;
}

async function greedy(session: Session, ids: readonly number[], vocabularySize: number): Promise<Omit<Answer, 'ids'>> {
  const tokens: number[] = [];
  const logProbabilities: Float64Array[] = [];
  let next = Int32Array.from(ids);
  while (tokens.length < count) {
    let last: Float32Array = new Float32Array(0);
    for await (const { logits } of session.evaluate(next, { chunkTokens: 32 })) last = logits;
    const row = logSoftmax(last.subarray(last.length - vocabularySize));
    logProbabilities.push(row);
    tokens.push(argmax(row));
    next = Int32Array.of(tokens.at(-1) as number);
  }
  return { tokens, logProbabilities };
}

async function peerAnswers(path: string, ours: readonly Answer[]): Promise<Comparison[]> {
  const peer = await loadLlamaCpp({ model: path, threads: 2, contextSize: 2_048, cache: 'f32' });
  try {
    const comparisons: Comparison[] = [];
    for (const answer of ours) comparisons.push(await compare(peer, answer));
    return comparisons;
  } finally {
    await peer.dispose();
  }
}

/** Both sides read our tokens, so that one difference does not bring others. */
async function compare(peer: Peer, { ids, tokens, logProbabilities }: Answer): Promise<Comparison> {
  let first: number | undefined;
  let margin = 0;
  let kl = 0;
  const rows = await peer.predictions(ids, tokens);
  for (const [i, token] of tokens.entries()) {
    const theirs = Float64Array.from(rows[i] as Float64Array, Math.log);
    kl += klDivergence(theirs, logProbabilities[i] as Float64Array) / tokens.length;
    const best = argmax(theirs);
    if (best === token || first !== undefined) continue;
    first = i;
    margin = (theirs[best] as number) - (theirs[token] as number);
  }
  return { first, margin, kl };
}

/** The model with all tensors in float32. */
async function writeFloatCopy(path: string, target: string): Promise<void> {
  await using gguf = await openGguf(path);
  const metadata = await readTypedMetadata(path);
  const sources = [...gguf.tensors.values()];
  const tensors = sources.map(({ name, dimensions }): WrittenTensor => ({ name, type: 'F32', dimensions }));
  await using file = await open(target, 'w');
  await file.write(ggufHeader({ metadata, tensors }));
  for (const source of sources) await file.write(await floatBytes(gguf, source));
}

async function floatBytes(gguf: GgufFile, tensor: Parameters<GgufFile['read']>[0]): Promise<Buffer> {
  const floats = dequantize(tensor.type, await gguf.read(tensor));
  const bytes = Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength);
  return Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);
}
