/** Tools for models whose chat templates know none: described in the system message, calls and answers as text. */
import type { ChatMessage, ToolDefinition } from '@keysieve/llm';

/** Messages that any template can render, in the form of Hermes. */
export function presentTools(messages: readonly ChatMessage[], tools: readonly ToolDefinition[]): ChatMessage[] {
  const plain = messages.map(withoutTools);
  if (tools.length === 0) return plain;
  const [first, ...rest] = plain;
  const instructions = instructionsFor(tools);
  return first?.role === 'system'
    ? [{ ...first, content: `${first.content}\n\n${instructions}` }, ...rest]
    : [{ role: 'system', content: instructions }, ...plain];
}

function withoutTools({ role, content, toolCalls = [] }: ChatMessage): ChatMessage {
  if (role === 'tool') return { role: 'user', content: `<tool_response>\n${content}\n</tool_response>` };
  const calls = toolCalls.map(
    ({ name, arguments: args }) => `<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`,
  );
  return { role, content: [content, ...calls].filter((text) => text !== '').join('\n') };
}

const instructionsFor = (tools: readonly ToolDefinition[]): string =>
  [
    'You can call these functions, each described by a line of JSON:',
    '<tools>',
    ...tools.map((tool) => JSON.stringify({ type: 'function', function: tool })),
    '</tools>',
    'To call one, write its name and arguments as JSON between these tags and nothing else:',
    '<tool_call>',
    '{"name": "NAME", "arguments": {...}}',
    '</tool_call>',
  ].join('\n');
