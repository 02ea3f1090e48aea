/**
 * llama.cpp as the other side of a comparison, through node-llama-cpp's sequence API, so that both sides are given the
 * same tokens and do the same work: every step evaluates the tokens it is told to, computes the logits of the last one
 * and takes the largest. The processor build that comes with the package is used, with flash attention.
 *
 * node-llama-cpp is no dependency: it is looked for where the command is run, and in `bench/` of a checkout.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { labError } from '../errors.ts';
import type { Peer, PeerOptions } from './peer.ts';

/** What is used of node-llama-cpp 3. */
interface NodeLlamaCpp {
  getLlama(options: object): Promise<Llama>;
  GgmlType: Readonly<Record<string, number>>;
  LlamaLogLevel: { error: unknown };
}

interface Llama {
  readonly llamaCppRelease: { release: string };
  readonly buildType: string;
  readonly systemInfo: string;
  loadModel(options: { modelPath: string }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

interface LlamaModel {
  tokenize(text: string, specialTokens: boolean): number[];
  createContext(options: object): Promise<LlamaContext>;
}

interface LlamaContext {
  readonly flashAttention: boolean;
  readonly kvCacheKeyType: number;
  readonly kvCacheValueType: number;
  readonly idealThreads: number;
  getSequence(): LlamaSequence;
}

interface LlamaSequence {
  readonly contextSize: number;
  readonly nextTokenIndex: number;
  clearHistory(): Promise<void>;
  eraseContextTokenRanges(ranges: { start: number; end: number }[]): Promise<void>;
  evaluate(tokens: readonly number[], options: object): AsyncGenerator<number, void, number | undefined>;
  evaluateWithMetadata(
    tokens: readonly number[],
    metadata: { probabilities: true },
    options: object,
  ): AsyncGenerator<{ probabilities: Map<number, number> }, void>;
}

const PACKAGE = 'node-llama-cpp';
const GREEDY = { temperature: 0, yieldEogToken: true } as const;

/** Loads `model` into llama.cpp. Throws `invalid-argument` where it is not installed, or has not what was asked for. */
export async function loadLlamaCpp({ model: modelPath, threads, contextSize, cache }: PeerOptions): Promise<Peer> {
  const { library, version } = await importLibrary();
  const llama = await library.getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel: library.LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath });
  const type = cache.toUpperCase();
  const context = await model.createContext({
    sequences: 1,
    contextSize,
    flashAttention: true,
    threads: { ideal: threads, min: threads },
    experimentalKvCacheKeyType: type,
    experimentalKvCacheValueType: type,
  });
  const sequence = context.getSequence();
  const requestedType = library.GgmlType[type];
  const actualTypes = [context.kvCacheKeyType, context.kvCacheValueType];
  if (!context.flashAttention || actualTypes.some((x) => x !== requestedType) || context.idealThreads !== threads) {
    await llama.dispose();
    throw labError({
      code: 'invalid-argument',
      problem: `llama.cpp would not run with flash attention, a cache of ${cache} and ${threads} threads.`,
      found: `flash attention ${context.flashAttention}, types ${actualTypes}, ${context.idealThreads} threads`,
      remedy: 'Give as many threads as there are cores.',
    });
  }
  return {
    versions: {
      [PACKAGE]: version,
      'llama.cpp': `${llama.llamaCppRelease.release} (${llama.buildType} build; ${llama.systemInfo.trim()})`,
    },
    tokenize: (text) => model.tokenize(text, true),
    async prefill(tokens) {
      checkRoom(sequence, 0, tokens.length);
      await sequence.clearHistory();
      const start = performance.now();
      const steps = sequence.evaluate(tokens, GREEDY);
      await steps.next();
      const elapsed = performance.now() - start;
      await steps.return();
      return elapsed;
    },
    async decode(tokens) {
      checkRoom(sequence, sequence.nextTokenIndex, tokens.length);
      const steps = sequence.evaluate(tokens.slice(0, 1), GREEDY);
      const elapsed: number[] = [];
      for (const token of tokens) {
        const start = performance.now();
        // A token handed to `next` stands in for the one that was sampled; the first call has its token already.
        await (elapsed.length === 0 ? steps.next() : steps.next(token));
        elapsed.push(performance.now() - start);
      }
      await steps.return();
      return elapsed;
    },
    async rewind(length) {
      await sequence.eraseContextTokenRanges([{ start: length, end: sequence.nextTokenIndex }]);
    },
    async predictions(prompt, next) {
      checkRoom(sequence, 0, prompt.length + next.length);
      await sequence.clearHistory();
      const rows: Float64Array[] = [];
      // The token that follows on those of a call is given with its probabilities, but not evaluated.
      for (const tokens of [prompt, ...next.slice(0, -1).map((token) => [token])]) {
        const steps = sequence.evaluateWithMetadata(tokens, { probabilities: true }, GREEDY);
        const step = await steps.next();
        await steps.return();
        if (step.done) throw new Error('llama.cpp gave no probabilities.');
        const row = new Float64Array(step.value.probabilities.size);
        for (const [token, probability] of step.value.probabilities) row[token] = probability;
        rows.push(row);
      }
      return rows;
    },
    dispose: () => llama.dispose(),
  };
}

/** Without room the library would silently drop the beginning of the sequence, and the two sides would differ. */
function checkRoom(sequence: LlamaSequence, used: number, added: number): void {
  // The token after the last one must fit too, although it is not evaluated.
  if (added >= 1 && used + added < sequence.contextSize) return;
  throw new RangeError(`${used} + ${added} tokens do not fit a context of ${sequence.contextSize}.`);
}

async function importLibrary(): Promise<{ library: NodeLlamaCpp; version: string }> {
  const folders = [process.cwd(), join(process.cwd(), 'bench')];
  for (const folder of folders) {
    const { resolve } = createRequire(join(folder, 'package.json'));
    let path: string;
    try {
      path = resolve(PACKAGE);
    } catch {
      continue;
    }
    const library = (await import(pathToFileURL(path).href)) as NodeLlamaCpp;
    const [root] = path.split(join(PACKAGE, 'dist'));
    const { version } = createRequire(join(folder, 'package.json'))(join(root as string, PACKAGE, 'package.json')) as {
      version: string;
    };
    return { library, version };
  }
  throw labError({
    code: 'invalid-argument',
    problem: 'llama.cpp is not installed here, and Keysieve does not bring it.',
    found: `no ${PACKAGE} in ${folders.join(' or ')}`,
    remedy: `In a checkout run npm ci --prefix bench; elsewhere npm install ${PACKAGE}. Then call this again from the same folder.`,
  });
}
