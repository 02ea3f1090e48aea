/** `POST /v1/messages`: Anthropic's request, and the job that it is. */
import type { ChatMessage, ToolCall } from '@keysieve/llm';
import { z } from 'zod';
import { attentionFields } from '../chat/attention.ts';
import type { ChatJob, ToolChoice } from '../chat/job.ts';
import { samplingFields } from '../chat/sampling.ts';
import { invalidRequest } from '../http/api-error.ts';
import { stopField } from '../openai/fields.ts';
import { toolDefinition } from '../openai/messages.ts';
import type { Limits } from '../options.ts';

const block = z.looseObject({ type: z.string() });
type Block = z.output<typeof block>;
const content = z.union([z.string(), z.array(block)]);

const tool = z.looseObject({
  type: z.string().nullish(),
  name: z.string().regex(/^[\w.-]{1,128}$/),
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()).nullish(),
});

const MAX_TOOLS = 256;

/** What counting tokens needs too. */
const promptFields = ({ maxMessages }: Pick<Limits, 'maxMessages'>) => ({
  model: z.string().max(256).nullish(),
  messages: z
    .array(z.object({ role: z.enum(['user', 'assistant', 'system']), content }))
    .min(1)
    .max(maxMessages),
  system: content.nullish(),
  tools: z.array(tool).max(MAX_TOOLS).nullish(),
  tool_choice: z
    .object({
      type: z.enum(['auto', 'any', 'tool', 'none']),
      name: z.string().nullish(),
      disable_parallel_tool_use: z.boolean().nullish(),
    })
    .nullish(),
});

export const countTokensRequest = (limits: Pick<Limits, 'maxMessages'>) => z.object(promptFields(limits));

export const messagesRequest = (limits: Pick<Limits, 'maxMessages'>) =>
  z.object({
    ...promptFields(limits),
    ...attentionFields,
    ...samplingFields,
    max_tokens: z.int().min(1),
    stop_sequences: stopField,
    stream: z.boolean().nullish(),
  });

type PromptFields = z.output<ReturnType<typeof countTokensRequest>>;
export type MessagesRequest = z.output<ReturnType<typeof messagesRequest>>;

/** Throws 400 for content other than text, and for what no schema can say. */
export function messagesJob(request: MessagesRequest): ChatJob {
  return {
    ...promptJob(request),
    sampling: request,
    attention: request,
    maxTokens: request.max_tokens,
    stop: request.stop_sequences,
  };
}

/** The prompt of a request, with what does not matter for it left at defaults. */
export function promptJob({ model, messages, system, tools, tool_choice }: PromptFields): ChatJob {
  const definitions = (tools ?? []).map(({ name, description, input_schema, type }, index) => {
    if (type != null && type !== 'custom') {
      throw invalidRequest(`Tools of the type ${type} run at their maker's; they are not offered.`, `tools.${index}`);
    }
    return toolDefinition({ name, description, parameters: input_schema });
  });
  const systemText = system == null ? '' : textOf(system, 'system');
  const chat = messages.flatMap(({ role, content }, index) => readMessage(role, content, `messages.${index}.content`));
  return {
    model: model ?? undefined,
    messages: systemText === '' ? chat : [{ role: 'system', content: systemText }, ...chat],
    tools: definitions,
    toolChoice: readToolChoice(tool_choice, definitions),
    templateVariables: {},
    parallelToolCalls: !(tool_choice?.disable_parallel_tool_use ?? false),
    format: { type: 'text' },
    sampling: {},
    attention: {},
    maxTokens: undefined,
    stop: [],
    choices: 1,
    topTokens: undefined,
  };
}

function readToolChoice(choice: PromptFields['tool_choice'], tools: readonly { name: string }[]): ToolChoice {
  if (choice == null) return tools.length > 0 ? 'auto' : 'none';
  if (choice.type === 'auto' || choice.type === 'none') return choice.type;
  if (choice.type === 'any' && tools.length > 0) return 'required';
  const { name } = choice;
  if (choice.type === 'tool' && name != null && tools.some((each) => each.name === name)) return { name };
  throw invalidRequest('The tool that is to be called is not among the tools.', 'tool_choice');
}

/** A message, and one more for each result of a tool in it. */
function readMessage(role: string, content: string | Block[], param: string): ChatMessage[] {
  if (typeof content === 'string') return [{ role, content }];
  const results = content.filter(({ type }) => type === 'tool_result');
  const calls = content.filter(({ type }) => type === 'tool_use').map((each) => readCall(each, param));
  const rest = content.filter(
    ({ type }) => !['tool_result', 'tool_use', 'thinking', 'redacted_thinking'].includes(type),
  );
  const messages: ChatMessage[] = results.map((result) => ({
    role: 'tool',
    content: textOf((result.content ?? '') as string | Block[], param),
    ...(typeof result.tool_use_id === 'string' && { toolCallId: result.tool_use_id }),
  }));
  if (rest.length > 0 || calls.length > 0 || messages.length === 0) {
    messages.push({ role, content: textOf(rest, param), ...(calls.length > 0 && { toolCalls: calls }) });
  }
  return messages;
}

function readCall({ id, name, input }: Block, param: string): ToolCall {
  if (typeof id === 'string' && typeof name === 'string' && typeof input === 'object' && input !== null) {
    return { id, name, arguments: input as Record<string, unknown> };
  }
  throw invalidRequest('A tool_use block needs an id, a name, and an object as its input.', param);
}

function textOf(content: string | Block[], param: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw invalidRequest('Content must be text or a list of blocks.', param);
  return content
    .map((each) => {
      if (each?.type === 'text' && typeof each.text === 'string') return each.text;
      throw invalidRequest(`Content of the type ${each?.type} is not offered; send text.`, param);
    })
    .join('');
}
