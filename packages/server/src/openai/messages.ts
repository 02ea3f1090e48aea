/** The messages of OpenAI's chat API, and the tools, as the model's chat template takes them. */
import type { ChatMessage, ToolCall, ToolDefinition } from '@keysieve/llm';
import { z } from 'zod';
import { invalidRequest } from '../http/api-error.ts';

const part = z.looseObject({ type: z.string() });
const content = z.union([z.string(), z.array(part)]).nullish();

const toolCall = z.object({
  id: z.string(),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

export const messageSchema = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content,
  name: z.string().nullish(),
  tool_calls: z.array(toolCall).nullish(),
  tool_call_id: z.string().nullish(),
});

type Message = z.output<typeof messageSchema>;

const ROLES: Partial<Record<Message['role'], string>> = { developer: 'system', function: 'tool' };

/** Throws 400 for content other than text, and for arguments of calls that are not a JSON object. */
export function chatMessages(messages: readonly Message[]): ChatMessage[] {
  return messages.map(({ role, content, name, tool_calls, tool_call_id }, index) => {
    const toolCalls = (tool_calls ?? []).map((call, at) => readToolCall(call, `messages.${index}.tool_calls.${at}`));
    return {
      role: ROLES[role] ?? role,
      content: textOf(content, `messages.${index}.content`),
      ...(toolCalls.length > 0 && { toolCalls }),
      ...(tool_call_id != null && { toolCallId: tool_call_id }),
      ...(name != null && { name }),
    };
  });
}

/** The text of a content: parts one after the other. */
export function textOf(content: Message['content'], param: string): string {
  if (content == null) return '';
  if (typeof content === 'string') return content;
  return content
    .map((each, index) => {
      const text = each.type === 'refusal' ? each.refusal : each.text;
      if (typeof text === 'string') return text;
      throw invalidRequest(`Content of the type ${each.type} is not offered; send text.`, `${param}.${index}`);
    })
    .join('');
}

function readToolCall({ id, function: call }: z.output<typeof toolCall>, param: string): ToolCall {
  return { id, name: call.name, arguments: parseArguments(call.arguments, `${param}.function.arguments`) };
}

/** Arguments of a call, which templates want as an object. */
export function parseArguments(text: string, param: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalidRequest('The arguments of a call must be a JSON object.', param);
}

const MAX_TOOLS = 256;

export const toolsField = z
  .array(
    z.object({
      type: z.literal('function'),
      function: z.object({
        name: z.string().regex(/^[\w.-]{1,128}$/, 'A name has letters, digits, _, - and ., at most 128.'),
        description: z.string().nullish(),
        parameters: z.record(z.string(), z.unknown()).nullish(),
      }),
    }),
  )
  .max(MAX_TOOLS)
  .nullish()
  .transform((tools) => (tools ?? []).map(({ function: tool }) => toolDefinition(tool)));

export function toolDefinition({
  name,
  description,
  parameters,
}: {
  name: string;
  description?: string | null | undefined;
  parameters?: Record<string, unknown> | null | undefined;
}): ToolDefinition {
  return {
    name,
    ...(description != null && { description }),
    ...(parameters != null && { parameters }),
  };
}
