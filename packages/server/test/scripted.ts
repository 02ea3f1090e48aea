/** Models that say what a test tells them, in steps that a test can hold back. */
import { setImmediate } from 'node:timers/promises';
import {
  type AttentionSummary,
  createChatTemplate,
  createTokenizer,
  type FinishReason,
  type GenerateOptions,
  type GenerationChunk,
  type GenerationResult,
  llmError,
} from '@keysieve/llm';
import { emptyReport } from 'keysieve';
import { bytePairEntries, metadataOf } from '../../llm/test/byte-vocabulary.ts';
import type { ModelSource, ServedModel, ServedSession } from '../src/index.ts';
import { PLAIN_TEMPLATE } from './servers.ts';

export interface Script {
  id?: string;
  template?: string;
  contextLength?: number;
  /** Special tokens beside `<|im_end|>`. */
  special?: readonly string[];
  /** The answer to a prompt, token by token: a byte or a special token each. */
  answer(prompt: string): string;
  /** Called before each chunk of a prompt is read and before each token; what it throws ends the answer. */
  beforeStep?(step: { phase: 'prefill' | 'decode'; index: number; prompt: string }): Promise<void> | void;
  /** Called before the model is loaded. */
  beforeLoad?(): Promise<void> | void;
  bytes?: number;
}

/** What a scripted model has done. */
export interface ScriptLog {
  loads: number;
  disposals: number;
  sessions: number;
  /** Chunks of prompts that were read, and tokens that were decoded. */
  chunks: number;
  tokens: number;
}

/** Tokens of a prompt that are read at a time. */
export const CHUNK = 64;

const SUMMARY: AttentionSummary = {
  policy: 'dense',
  budget: null,
  keysExact: { mean: 1, share: 1 },
  keysQuantized: { mean: 0 },
  fullAttentionShare: 0,
  windowedShare: 0,
  certificateFallbackShare: 0,
  bytesPerToken: 0,
  tailMass: { mean: 0, max: 0 },
  outputError: { mean: 0, max: 0 },
  goneAtLeast: 0,
  kind: 'certified',
};

interface Outcome {
  generated: number[];
  written: string;
  reused: number;
  finishReason: FinishReason;
}

/** A model that follows a script, with a token for every byte. */
export function scriptedModel(script: Script): { source: ModelSource; log: ScriptLog } {
  const log = { loads: 0, disposals: 0, sessions: 0, chunks: 0, tokens: 0 };
  const { id = 'scripted', contextLength = 4096, bytes = 0 } = script;
  return {
    log,
    source: {
      id,
      async load({ signal }) {
        await script.beforeLoad?.();
        signal.throwIfAborted();
        log.loads++;
        return createModel(script, log, contextLength);
      },
      predictBytes: async () => bytes,
    },
  };
}

function createModel(script: Script, log: ScriptLog, contextLength: number): ServedModel {
  const special = ['<|im_end|>', ...(script.special ?? [])];
  const added = special.map((token) => ({ token }));
  const tokenizer = createTokenizer(metadataOf(bytePairEntries([], added)));
  const template = createChatTemplate(metadataOf({}), { template: script.template ?? PLAIN_TEMPLATE });
  const encode: ServedModel['encode'] = (prompt, options) => {
    if (prompt instanceof Int32Array) return prompt;
    const ids = tokenizer.encode(typeof prompt === 'string' ? prompt : template.render(prompt, options));
    if (ids.length > 0) return ids;
    throw llmError({ code: 'prompt-empty', problem: 'The prompt has no tokens.', remedy: 'Give some text.' });
  };
  return {
    name: 'scripted',
    contextLength,
    precision: 'fp32',
    tokenizer,
    encode,
    chatTemplate: () => template,
    async createSession() {
      log.sessions++;
      return createSession(script, log, { tokenizer, encode, contextLength });
    },
    async dispose() {
      log.disposals++;
    },
  };
}

function createSession(
  script: Script,
  log: ScriptLog,
  model: Pick<ServedModel, 'tokenizer' | 'encode' | 'contextLength'>,
): ServedSession {
  const cached: number[] = [];
  const { tokenizer } = model;

  async function step(phase: 'prefill' | 'decode', index: number, prompt: string, signal: AbortSignal | undefined) {
    await script.beforeStep?.({ phase, index, prompt });
    await setImmediate();
    if (signal?.aborted) {
      throw llmError({ code: 'aborted', problem: 'Aborted.', remedy: 'None.', cause: signal.reason });
    }
  }

  async function* run(tokens: Int32Array, options: GenerateOptions): AsyncGenerator<GenerationChunk, Outcome> {
    const { signal, onPrefill, maxTokens = 256, stop = [] } = options;
    const text = tokenizer.decode(tokens);
    let reused = 0;
    while (reused < tokens.length - 1 && cached[reused] === tokens[reused]) reused++;
    cached.length = reused;
    onPrefill?.({ done: reused, total: tokens.length, reused });
    for (let from = reused, index = 0; from < tokens.length; from += CHUNK, index++) {
      await step('prefill', index, text, signal);
      log.chunks++;
      cached.push(...tokens.subarray(from, from + CHUNK));
      onPrefill?.({ done: Math.min(from + CHUNK, tokens.length), total: tokens.length, reused });
    }
    const generated: number[] = [];
    let written = '';
    for (const token of tokenizer.encode(script.answer(text))) {
      if (generated.length === maxTokens) return { generated, written, reused, finishReason: 'length' };
      if (generated.length > 0) await step('decode', generated.length, text, signal);
      log.tokens++;
      generated.push(token);
      cached.push(token);
      const piece = tokenizer.isSpecial(token) ? '' : tokenizer.decode([token]);
      written += piece;
      if (stop.some((each) => each !== '' && written.endsWith(each))) {
        return { generated, written, reused, finishReason: 'stop' };
      }
      yield { text: piece, token, milliseconds: 0, attention: emptyReport() };
    }
    return { generated, written, reused, finishReason: 'end' };
  }

  return {
    tokens: cached,
    get memory() {
      return { proportional: cached.length * 1000 };
    },
    generate(prompt, options = {}) {
      const tokens = model.encode(prompt);
      let settle: { resolve(result: GenerationResult): void; reject(error: unknown): void } | undefined;
      const result = new Promise<GenerationResult>((resolve, reject) => {
        settle = { resolve, reject };
      });
      result.catch(() => {});
      async function* iterate() {
        try {
          const { generated, written, reused, finishReason } = yield* run(tokens, options);
          settle?.resolve({
            text: written,
            tokens: generated,
            finishReason,
            promptTokens: tokens.length,
            reusedTokens: reused,
            prefillMs: 1,
            decodeMs: generated.slice(1).map(() => 1),
            drafts: { proposed: 0, accepted: 0 },
            seed: 0,
            dependsOn: [],
            prompt: { attention: SUMMARY },
            answer: { attention: generated.length > 1 ? SUMMARY : null, audit: null },
          });
        } catch (error) {
          settle?.reject(error);
          throw error;
        }
      }
      return { [Symbol.asyncIterator]: iterate, result };
    },
    async dispose() {
      cached.length = 0;
    },
  };
}
