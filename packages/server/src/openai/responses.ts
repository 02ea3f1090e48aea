/** `POST /v1/responses`: the answer as a response object, or as its events. */
import { randomUUID } from 'node:crypto';
import { type AnsweredCall, type ChatEvent, runChat } from '../chat/chat.ts';
import type { ChatJob } from '../chat/job.ts';
import type { Service } from '../chat/run.ts';
import { type Usage, usageOf } from '../chat/usage.ts';
import type { LoadedModel } from '../engine/models.ts';
import type { ServerEvent } from '../http/event-stream.ts';
import type { ResponsesRequest } from './responses-request.ts';

interface MessageItem {
  type: 'message';
  id: string;
  role: 'assistant';
  status: 'in_progress' | 'completed';
  content: { type: 'output_text'; text: string; annotations: never[]; logprobs: never[] }[];
}

interface CallItem {
  type: 'function_call';
  id: string;
  call_id: string;
  name: string;
  arguments: string;
  status: 'in_progress' | 'completed';
}

type OutputItem = MessageItem | CallItem;

const identify = (prefix: string) => `${prefix}_${randomUUID().replaceAll('-', '')}`;

/** The whole response. */
export async function response(service: Service, job: ChatJob, request: ResponsesRequest, signal: AbortSignal) {
  let last: Record<string, unknown> | undefined;
  for await (const { type, fields } of responseEvents(service, job, request, signal)) {
    if (type === 'response.completed' || type === 'response.incomplete') last = fields.response as typeof last;
  }
  return last as Record<string, unknown>;
}

/** The response as server-sent events, numbered. */
export async function* responseFrames(
  service: Service,
  job: ChatJob,
  request: ResponsesRequest,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void> {
  let sequence = 0;
  for await (const { type, fields } of responseEvents(service, job, request, signal)) {
    yield { event: type, data: JSON.stringify({ type, sequence_number: sequence++, ...fields }) };
  }
}

interface ResponseEvent {
  type: string;
  fields: Record<string, unknown>;
}

async function* responseEvents(
  service: Service,
  job: ChatJob,
  request: ResponsesRequest,
  signal: AbortSignal,
): AsyncGenerator<ResponseEvent, void> {
  const id = identify('resp');
  const created = Math.floor(Date.now() / 1000);
  const output: OutputItem[] = [];
  let loaded: LoadedModel | undefined;
  let started = false;
  const describe = (fields: object) => ({
    response: {
      ...responseObject(id, created, loaded as LoadedModel, request),
      output: structuredClone(output),
      ...fields,
    },
  });

  for await (const event of runChat(service, job, signal)) {
    if (event.type === 'prepared') loaded = event.loaded;
    else if (event.type === 'prefill') {
      if (!started) {
        const fields = describe({ status: 'in_progress' });
        yield { type: 'response.created', fields };
        yield { type: 'response.in_progress', fields };
      }
      started = true;
    } else if (event.type === 'text') {
      if (event.text !== '') yield* writeText(output, event.text);
    } else if (event.type === 'call') {
      yield* endMessage(output);
      yield* writeCall(output, event.call);
    } else {
      yield* endMessage(output);
      const usage = responseUsage(usageOf([event.result], 1));
      const fields = describe({ ...endFields(event), usage });
      yield { type: fields.response.status === 'completed' ? 'response.completed' : 'response.incomplete', fields };
    }
  }
}

function* writeText(output: OutputItem[], text: string): Generator<ResponseEvent, void> {
  let item = output.at(-1);
  if (item?.type !== 'message' || item.status === 'completed') {
    item = { type: 'message', id: identify('msg'), role: 'assistant', status: 'in_progress', content: [] };
    output.push(item);
    const place = placeOf(output, item);
    yield added(output, item);
    const part = { type: 'output_text' as const, text: '', annotations: [], logprobs: [] };
    item.content.push(part);
    yield { type: 'response.content_part.added', fields: { ...place, content_index: 0, part: { ...part } } };
  }
  const [part] = item.content;
  if (part !== undefined) part.text += text;
  const fields = { ...placeOf(output, item), content_index: 0, delta: text, logprobs: [] };
  yield { type: 'response.output_text.delta', fields };
}

function* endMessage(output: OutputItem[]): Generator<ResponseEvent, void> {
  const item = output.at(-1);
  if (item?.type !== 'message' || item.status === 'completed') return;
  item.status = 'completed';
  const place = { ...placeOf(output, item), content_index: 0 };
  const [part] = item.content;
  yield { type: 'response.output_text.done', fields: { ...place, text: part?.text, logprobs: [] } };
  yield { type: 'response.content_part.done', fields: { ...place, part } };
  yield done(output, item);
}

function* writeCall(output: OutputItem[], { id, name, arguments: args }: AnsweredCall): Generator<ResponseEvent, void> {
  const item: CallItem = {
    type: 'function_call',
    id: identify('fc'),
    call_id: id,
    name,
    arguments: '',
    status: 'in_progress',
  };
  output.push(item);
  const place = placeOf(output, item);
  yield added(output, item);
  yield { type: 'response.function_call_arguments.delta', fields: { ...place, delta: args } };
  item.arguments = args;
  item.status = 'completed';
  yield { type: 'response.function_call_arguments.done', fields: { ...place, name, arguments: args } };
  yield done(output, item);
}

const placeOf = (output: readonly OutputItem[], item: OutputItem) => ({
  item_id: item.id,
  output_index: output.indexOf(item),
});

const added = (output: readonly OutputItem[], item: OutputItem): ResponseEvent => ({
  type: 'response.output_item.added',
  fields: { output_index: output.indexOf(item), item: structuredClone(item) },
});

const done = (output: readonly OutputItem[], item: OutputItem): ResponseEvent => ({
  type: 'response.output_item.done',
  fields: { output_index: output.indexOf(item), item: structuredClone(item) },
});

function endFields({ finishReason }: Extract<ChatEvent, { type: 'end' }>) {
  return finishReason === 'length'
    ? { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
    : { status: 'completed' };
}

const responseObject = (id: string, created: number, { id: model }: LoadedModel, request: ResponsesRequest) => ({
  id,
  object: 'response',
  created_at: created,
  model,
  status: 'in_progress',
  error: null,
  incomplete_details: null,
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  metadata: {},
  parallel_tool_calls: request.parallel_tool_calls ?? true,
  previous_response_id: null,
  store: false,
  temperature: request.temperature ?? null,
  top_p: request.top_p ?? null,
  tool_choice: request.tool_choice ?? 'auto',
  tools: request.tools ?? [],
  text: { format: { type: 'text' }, ...request.text },
  usage: null as object | null,
});

const responseUsage = ({ promptTokens, cachedTokens, completionTokens, exactness }: Usage) => ({
  input_tokens: promptTokens,
  input_tokens_details: { cached_tokens: cachedTokens },
  output_tokens: completionTokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: promptTokens + completionTokens,
  keysieve: exactness,
});
