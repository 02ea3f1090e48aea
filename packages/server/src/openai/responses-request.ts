/** `POST /v1/responses` without state: the request, and the job that it is. */
import type { ChatMessage } from '@keysieve/llm';
import { z } from 'zod';
import { attentionFields } from '../chat/attention.ts';
import type { ChatJob, ResponseFormat, ToolChoice } from '../chat/job.ts';
import { samplingFields } from '../chat/sampling.ts';
import { invalidRequest } from '../http/api-error.ts';
import type { Limits } from '../options.ts';
import { parseArguments, textOf, toolDefinition } from './messages.ts';

const part = z.looseObject({ type: z.string() });
const content = z.union([z.string(), z.array(part)]);

const item = z.looseObject({
  type: z.string().nullish(),
  role: z.enum(['user', 'assistant', 'system', 'developer']).nullish(),
  content: content.nullish(),
  call_id: z.string().nullish(),
  name: z.string().nullish(),
  arguments: z.string().nullish(),
  output: content.nullish(),
});
type Item = z.output<typeof item>;

const tool = z.looseObject({
  type: z.string(),
  name: z
    .string()
    .regex(/^[\w.-]{1,128}$/)
    .nullish(),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
});

const MAX_TOOLS = 256;

export const responsesRequest = ({ maxMessages }: Pick<Limits, 'maxMessages'>) =>
  z.object({
    ...samplingFields,
    ...attentionFields,
    model: z.string().max(256).nullish(),
    input: z.union([z.string(), z.array(item).min(1).max(maxMessages)]),
    instructions: z.string().nullish(),
    max_output_tokens: z.int().min(1).nullish(),
    stream: z.boolean().nullish(),
    store: z.boolean().nullish(),
    previous_response_id: z.string().nullish(),
    conversation: z.unknown().optional(),
    background: z.boolean().nullish(),
    tools: z.array(tool).max(MAX_TOOLS).nullish(),
    tool_choice: z
      .union([z.enum(['auto', 'none', 'required']), z.object({ type: z.literal('function'), name: z.string() })])
      .nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    text: z
      .object({
        format: z
          .object({
            type: z.enum(['text', 'json_object', 'json_schema']),
            schema: z.record(z.string(), z.unknown()).nullish(),
          })
          .nullish(),
      })
      .nullish(),
  });

export type ResponsesRequest = z.output<ReturnType<typeof responsesRequest>>;

/** Throws 400 for what needs a server that remembers, and for content other than text. */
export function responsesJob(request: ResponsesRequest): ChatJob {
  for (const param of ['previous_response_id', 'conversation', 'background'] as const) {
    if (request[param] == null || request[param] === false) continue;
    throw invalidRequest('This server keeps no responses; send the whole conversation as input.', param);
  }
  const tools = (request.tools ?? []).map(({ type, name, description, parameters }, index) => {
    if (type === 'function' && name != null) return toolDefinition({ name, description, parameters });
    throw invalidRequest(`Tools of the type ${type} are not offered; functions are.`, `tools.${index}`);
  });
  const toolChoice = readToolChoice(request.tool_choice, tools.length > 0);
  if (typeof toolChoice === 'object' && !tools.some(({ name }) => name === toolChoice.name)) {
    throw invalidRequest(`There is no tool of the name ${toolChoice.name}.`, 'tool_choice');
  }
  if (toolChoice === 'required' && tools.length === 0) {
    throw invalidRequest('A call is required, and there are no tools.', 'tool_choice');
  }
  const { input, instructions } = request;
  const messages = typeof input === 'string' ? [{ role: 'user', content: input }] : readItems(input);
  return {
    model: request.model ?? undefined,
    messages: instructions ? [{ role: 'system', content: instructions }, ...messages] : messages,
    tools,
    toolChoice,
    templateVariables: {},
    parallelToolCalls: request.parallel_tool_calls ?? true,
    format: readFormat(request.text?.format),
    sampling: request,
    attention: request,
    maxTokens: request.max_output_tokens ?? undefined,
    stop: [],
    choices: 1,
    topTokens: undefined,
  };
}

function readToolChoice(choice: ResponsesRequest['tool_choice'], hasTools: boolean): ToolChoice {
  if (choice == null) return hasTools ? 'auto' : 'none';
  return typeof choice === 'string' ? choice : { name: choice.name };
}

function readFormat(format: NonNullable<ResponsesRequest['text']>['format']): ResponseFormat {
  if (format == null || format.type === 'text') return { type: 'text' };
  return format.schema == null ? { type: 'json' } : { type: 'schema', schema: format.schema };
}

/** Messages of items; calls join the message of the assistant before them. */
function readItems(items: readonly Item[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  for (const [index, each] of items.entries()) {
    const param = `input.${index}`;
    const type = each.type ?? 'message';
    if (type === 'message') messages.push(readMessage(each, param));
    else if (type === 'function_call') {
      const call = {
        id: each.call_id ?? '',
        name: each.name ?? '',
        arguments: parseArguments(each.arguments ?? '', param),
      };
      const last = messages.at(-1);
      if (last?.role === 'assistant') messages.splice(-1, 1, { ...last, toolCalls: [...(last.toolCalls ?? []), call] });
      else messages.push({ role: 'assistant', content: '', toolCalls: [call] });
    } else if (type === 'function_call_output') {
      const toolCallId = each.call_id ?? '';
      messages.push({ role: 'tool', content: textOf(each.output, `${param}.output`), toolCallId });
    } else if (type !== 'reasoning') {
      throw invalidRequest(`Items of the type ${type} are not offered.`, param);
    }
  }
  return messages;
}

function readMessage({ role, content }: Item, param: string): ChatMessage {
  if (role == null) throw invalidRequest('A message needs a role.', `${param}.role`);
  return { role: role === 'developer' ? 'system' : role, content: textOf(content, `${param}.content`) };
}
