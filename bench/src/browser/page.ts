/** The page of `in-browser.ts`: Keysieve in a worker, and wllama (llama.cpp in WebAssembly), with the same file and threads. */
import { Wllama } from '@wllama/wllama';
import wllamaWasm from '@wllama/wllama/esm/wasm/wllama.wasm?url';
import { createWorkerModel, type WorkerModel, type WorkerSessionOptions } from '../../../packages/llm/src/browser.ts';

/** Times of one side. */
export interface SideTimes {
  promptTokens: number;
  prefillMs: number;
  /** Mean of a token. */
  decodeMs: number;
  text: string;
}

export interface BenchPage {
  load(threads: number, context: number): Promise<void>;
  loadPeer(threads: number, context: number): Promise<string>;
  /** The beginning of a text that has a number of tokens. */
  cut(text: string, tokens: number): Promise<string>;
  keysieve(prompt: string, maxTokens: number, options?: WorkerSessionOptions): Promise<SideTimes>;
  wllama(prompt: string, maxTokens: number): Promise<SideTimes>;
}

let model: WorkerModel;
let peer: Wllama;

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
const fetchModel = async () => (await fetch('/model.gguf')).blob();

const page: BenchPage = {
  async load(threads, context) {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    const file = new File([await fetchModel()], 'model.gguf');
    model = await createWorkerModel(worker, file, { threads, context });
  },
  async loadPeer(threads, context) {
    peer = new Wllama({ default: wllamaWasm }, { suppressNativeLog: true });
    const log_level = 4;
    await peer.loadModel([await fetchModel()], { n_threads: threads, n_ctx: context, n_gpu_layers: 0, log_level });
    return `llama.cpp ${Wllama.getLibllamaVersion()}, ${peer.getNumThreads()} threads`;
  },
  async cut(text, tokens) {
    const ids = await model.encode(text);
    return (await model.tokenTexts(ids.subarray(0, tokens))).join('');
  },
  async keysieve(prompt, maxTokens, options = {}) {
    const session = await model.createSession(options);
    try {
      const result = await session.generate(prompt, { maxTokens }).result;
      const { promptTokens, prefillMs, decodeMs, text } = result;
      return { promptTokens, prefillMs, decodeMs: mean(decodeMs), text };
    } finally {
      await session.dispose();
    }
  },
  async wllama(prompt, maxTokens) {
    const { choices, timings } = await peer.createCompletion({
      prompt,
      max_tokens: maxTokens,
      temperature: 0,
    });
    return {
      promptTokens: timings?.prompt_n ?? 0,
      prefillMs: timings?.prompt_ms ?? Number.NaN,
      decodeMs: timings?.predicted_per_token_ms ?? Number.NaN,
      text: choices[0]?.text ?? '',
    };
  },
};
Object.assign(globalThis, { bench: page });
