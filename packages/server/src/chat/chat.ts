/** A chat: its messages become a prompt, and its answers text and calls of tools. */
import { randomUUID } from 'node:crypto';
import type { GenerationResult, GrammarConstraint, TokenProbabilities } from '@keysieve/llm';
import type { LoadedModel } from '../engine/models.ts';
import { invalidRequest } from '../http/api-error.ts';
import type { ToolCallParser } from '../tools/index.ts';
import type { ChatJob } from './job.ts';
import { chatGrammar, chatPrompt, type ModelChat, modelChat } from './model-chat.ts';
import { type PreparedPrompts, runJob, type Service } from './run.ts';

export type FinishReason = 'stop' | 'length' | 'tool_calls';

/** A call of a tool, complete. */
export interface AnsweredCall {
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
}

export type ChatEvent =
  | { type: 'prepared'; loaded: LoadedModel; promptTokens: number }
  | { type: 'prefill'; total: number; cached: number; processed: number; milliseconds: number }
  | { type: 'text'; choice: number; text: string; probabilities: TokenProbabilities[] }
  | { type: 'call'; choice: number; index: number; call: AnsweredCall }
  | { type: 'end'; choice: number; finishReason: FinishReason; result: GenerationResult };

/** One of the answers as it is read. */
interface Reader {
  parser: ToolCallParser | undefined;
  calls: number;
  /** Of tokens whose text is not out yet. */
  probabilities: TokenProbabilities[];
}

/** Runs a chat. Throws as `runJob` does, and 400 for schemas that cannot be followed. */
export async function* runChat(service: Service, job: ChatJob, signal: AbortSignal): AsyncGenerator<ChatEvent, void> {
  const readers = new Map<number, Reader>();
  const mayCall = job.tools.length > 0 && job.toolChoice !== 'none';
  let chat: ModelChat | undefined;

  const prepare = async ({ model }: LoadedModel): Promise<PreparedPrompts> => {
    const prompts = [chatPrompt(model, job)];
    chat = modelChat(model);
    return { prompts, ...(await constraints(job, chat)) };
  };
  const readerOf = (choice: number): Reader => {
    const reader = readers.get(choice) ?? {
      parser: mayCall ? chat?.format.createParser() : undefined,
      calls: 0,
      probabilities: [],
    };
    readers.set(choice, reader);
    return reader;
  };

  for await (const event of runJob(service, job, prepare, signal)) {
    if (event.type === 'prepared' || event.type === 'prefill') {
      yield event;
      continue;
    }
    const { choice } = event;
    const reader = readerOf(choice);
    if (event.type === 'token') {
      if (event.probabilities !== undefined) reader.probabilities.push(event.probabilities);
      // Special tokens have no text, but those that mark calls are part of their form.
      const text = mayCall ? (chat?.visible.get(event.token) ?? event.text) : event.text;
      yield* read(reader, choice, text);
    } else {
      yield* read(reader, choice, undefined);
      const { result } = event;
      const ended = finishReason(result);
      yield { type: 'end', choice, finishReason: ended === 'stop' && reader.calls > 0 ? 'tool_calls' : ended, result };
    }
  }
}

/** The events of more text, or of the end where it is undefined. */
function* read(reader: Reader, choice: number, text: string | undefined): Generator<ChatEvent, void> {
  const { parser } = reader;
  const parts =
    parser === undefined ? [{ text: text ?? '' }] : text === undefined ? parser.flush() : parser.append(text);
  for (const part of parts) {
    if ('call' in part) {
      const call = { id: `call_${randomUUID().replaceAll('-', '')}`, ...part.call };
      yield { type: 'call', choice, index: reader.calls++, call };
    } else {
      const { probabilities } = reader;
      reader.probabilities = [];
      if (part.text !== '' || probabilities.length > 0) yield { type: 'text', choice, text: part.text, probabilities };
    }
  }
}

/** Grammars of a job: what must be followed is refused where it cannot be, what only helps is left out. */
async function constraints(job: ChatJob, chat: ModelChat): Promise<Omit<PreparedPrompts, 'prompts'>> {
  const grammar = chatGrammar(job, chat);
  if (grammar === undefined) return {};
  const param = job.format.type === 'text' ? 'tools' : 'response_format';
  let create: () => Promise<GrammarConstraint>;
  try {
    create = await chat.grammars.compile(grammar.spec);
  } catch (error) {
    if (!grammar.required) return {};
    const { code } = error as { code?: unknown };
    if (code !== 'grammar-invalid' && code !== 'grammar-unavailable') throw error;
    throw invalidRequest((error as Error).message, param, 'unsupported_schema');
  }
  const made = await Promise.all(Array.from({ length: job.choices }, create));
  const unused = [...made];
  return {
    constraint: () => unused.shift() as GrammarConstraint,
    dispose() {
      for (const each of made) each.dispose();
    },
  };
}

export const finishReason = ({ finishReason: reason }: GenerationResult): 'stop' | 'length' =>
  reason === 'end' || reason === 'stop' ? 'stop' : 'length';
