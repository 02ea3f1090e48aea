/** `POST /v1/chat/completions`: the request, and the job that it is. */
import { z } from 'zod';
import type { ChatJob, ResponseFormat, ToolChoice } from '../chat/job.ts';
import { invalidRequest } from '../http/api-error.ts';
import type { Limits } from '../options.ts';
import { choicesField, commonFields, tokenCount } from './fields.ts';
import { chatMessages, messageSchema, toolsField } from './messages.ts';

const MAX_TOP_LOGPROBS = 20;

const responseFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object'), schema: z.record(z.string(), z.unknown()).nullish() }),
  z.object({
    type: z.literal('json_schema'),
    json_schema: z.object({ schema: z.union([z.record(z.string(), z.unknown()), z.boolean()]).nullish() }),
  }),
]);

const toolChoice = z.union([
  z.enum(['auto', 'none', 'required']),
  z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) }),
]);

export const chatRequest = ({ maxMessages, maxChoices }: Pick<Limits, 'maxMessages' | 'maxChoices'>) =>
  z.object({
    ...commonFields,
    messages: z.array(messageSchema).min(1).max(maxMessages),
    max_tokens: tokenCount,
    max_completion_tokens: tokenCount,
    n: choicesField(maxChoices),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).nullish(),
    response_format: responseFormat.nullish(),
    tools: toolsField,
    tool_choice: toolChoice.nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  });

export type ChatRequest = z.output<ReturnType<typeof chatRequest>>;

/** Throws 400 for what no schema can say. */
export function chatJob(request: ChatRequest): ChatJob {
  const { tools } = request;
  const choice = readToolChoice(request.tool_choice, tools.length > 0);
  if (typeof choice === 'object' && !tools.some(({ name }) => name === choice.name)) {
    throw invalidRequest(`There is no tool of the name ${choice.name}.`, 'tool_choice');
  }
  if (choice === 'required' && tools.length === 0) {
    throw invalidRequest('A call is required, and there are no tools.', 'tool_choice');
  }
  return {
    model: request.model ?? undefined,
    messages: chatMessages(request.messages),
    tools,
    toolChoice: choice,
    templateVariables: request.chat_template_kwargs ?? {},
    parallelToolCalls: request.parallel_tool_calls ?? true,
    format: readFormat(request.response_format),
    sampling: request,
    attention: request,
    maxTokens: request.max_completion_tokens ?? request.max_tokens ?? undefined,
    stop: request.stop,
    choices: request.n,
    topTokens: request.logprobs ? (request.top_logprobs ?? 0) : undefined,
  };
}

function readToolChoice(choice: ChatRequest['tool_choice'], hasTools: boolean): ToolChoice {
  if (choice == null) return hasTools ? 'auto' : 'none';
  return typeof choice === 'string' ? choice : { name: choice.function.name };
}

function readFormat(format: ChatRequest['response_format']): ResponseFormat {
  if (format == null || format.type === 'text') return { type: 'text' };
  const schema = format.type === 'json_object' ? format.schema : format.json_schema.schema;
  return schema == null ? { type: 'json' } : { type: 'schema', schema };
}
