/** `POST /v1/messages`: the answer as a whole, or as named events; and `count_tokens`. */
import { randomUUID } from 'node:crypto';
import type { GenerationResult } from '@keysieve/llm';
import { type AnsweredCall, type ChatEvent, runChat } from '../chat/chat.ts';
import type { ChatJob } from '../chat/job.ts';
import { chatPrompt } from '../chat/model-chat.ts';
import type { Service } from '../chat/run.ts';
import { type Usage, usageOf } from '../chat/usage.ts';
import type { LoadedModel } from '../engine/models.ts';
import type { ServerEvent } from '../http/event-stream.ts';

type ContentBlock =
  | { type: 'text'; text: string }
  | { type: 'tool_use'; id: string; name: string; input: Record<string, unknown> };

const messageId = () => `msg_${randomUUID().replaceAll('-', '')}`;

/** The whole answer. */
export async function message(service: Service, job: ChatJob, signal: AbortSignal) {
  const content: ContentBlock[] = [];
  let loaded: LoadedModel | undefined;
  let end: Extract<ChatEvent, { type: 'end' }> | undefined;
  for await (const event of runChat(service, job, signal)) {
    if (event.type === 'prepared') loaded = event.loaded;
    else if (event.type === 'text') appendText(content, event.text);
    else if (event.type === 'call') content.push(toolUse(event.call));
    else if (event.type === 'end') end = event;
  }
  const { result } = end as NonNullable<typeof end>;
  return {
    ...emptyMessage(loaded as LoadedModel),
    content,
    ...stopFields(end as NonNullable<typeof end>),
    usage: anthropicUsage(usageOf([result], 1)),
  };
}

function appendText(content: ContentBlock[], text: string): void {
  const last = content.at(-1);
  if (last?.type === 'text') last.text += text;
  else if (text !== '') content.push({ type: 'text', text });
}

const toolUse = ({ id, name, arguments: args }: AnsweredCall): ContentBlock => ({
  type: 'tool_use',
  id: id.replace(/^call_/, 'toolu_'),
  name,
  input: JSON.parse(args) as Record<string, unknown>,
});

const emptyMessage = ({ id: model }: LoadedModel) => ({
  id: messageId(),
  type: 'message',
  role: 'assistant',
  model,
  content: [] as ContentBlock[],
  stop_reason: null as string | null,
  stop_sequence: null as string | null,
});

function stopFields({ finishReason, result }: { finishReason: string; result: GenerationResult }) {
  if (finishReason === 'tool_calls') return { stop_reason: 'tool_use', stop_sequence: null };
  if (finishReason === 'length') return { stop_reason: 'max_tokens', stop_sequence: null };
  if (result.stopString !== undefined) return { stop_reason: 'stop_sequence', stop_sequence: result.stopString };
  return { stop_reason: 'end_turn', stop_sequence: null };
}

/** Anthropic's API counts tokens that were in a cache apart from the input. */
const anthropicUsage = ({ promptTokens, cachedTokens, completionTokens, exactness }: Usage) => ({
  input_tokens: promptTokens - cachedTokens,
  cache_read_input_tokens: cachedTokens,
  cache_creation_input_tokens: 0,
  output_tokens: completionTokens,
  keysieve: exactness,
});

/** The answer as events. */
export async function* messageEvents(
  service: Service,
  job: ChatJob,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void> {
  let loaded: LoadedModel | undefined;
  let started = false;
  let index = -1;
  let isTextOpen = false;

  const stopBlock = (): ServerEvent[] => (index >= 0 ? [named('content_block_stop', { index })] : []);
  const startBlock = (block: object): ServerEvent => named('content_block_start', { index, content_block: block });
  const delta = (fields: object): ServerEvent => named('content_block_delta', { index, delta: fields });

  for await (const event of runChat(service, job, signal)) {
    switch (event.type) {
      case 'prepared':
        loaded = event.loaded;
        break;
      case 'prefill': {
        if (started) break;
        started = true;
        const { total, cached } = event;
        const usage = { input_tokens: total - cached, cache_read_input_tokens: cached, output_tokens: 0 };
        yield named('message_start', { message: { ...emptyMessage(loaded as LoadedModel), usage } });
        break;
      }
      case 'text':
        if (event.text === '') break;
        if (!isTextOpen) {
          yield* stopBlock();
          index++;
          isTextOpen = true;
          yield startBlock({ type: 'text', text: '' });
        }
        yield delta({ type: 'text_delta', text: event.text });
        break;
      case 'call': {
        yield* stopBlock();
        index++;
        isTextOpen = false;
        yield startBlock({ ...toolUse(event.call), input: {} });
        yield delta({ type: 'input_json_delta', partial_json: event.call.arguments });
        break;
      }
      case 'end': {
        yield* stopBlock();
        const usage = anthropicUsage(usageOf([event.result], 1));
        yield named('message_delta', { delta: stopFields(event), usage });
        yield named('message_stop', {});
      }
    }
  }
}

const named = (type: string, fields: object): ServerEvent => ({
  event: type,
  data: JSON.stringify({ type, ...fields }),
});

/** The event that keeps a connection alive. */
export const PING = `event: ping\ndata: {"type": "ping"}\n\n`;

/** Number of tokens of a prompt. */
export async function countTokens({ models, onPrompt }: Service, job: ChatJob, signal: AbortSignal) {
  const { loaded, release } = await models.acquire(job.model, signal);
  try {
    const prompt = chatPrompt(loaded.model, job);
    onPrompt(prompt);
    return { input_tokens: prompt.length };
  } finally {
    release();
  }
}
