/** Reading calls from answers that come in pieces of any size. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnswerPart, presentTools, TOOL_FORMATS, toolFormatOf } from './index.ts';

const call = (name: string, args: object): AnswerPart => ({ call: { name, arguments: JSON.stringify(args) } });
const weather = call('get_weather', { city: 'Paris' });
const TRICKY = { text: 'a "quoted" } ] </tool_call [ARGS \\ {', nested: { list: [1, [2]] }, unicode: 'é🙂' };

const ANSWERS: [format: string, name: string, text: string, parts: AnswerPart[]][] = [
  ['hermes', 'text alone', 'No call < here, 1 < 2.', [{ text: 'No call < here, 1 < 2.' }]],
  [
    'hermes',
    'a call behind text',
    'Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    [{ text: 'Let me see.\n' }, weather],
  ],
  [
    'hermes',
    'two calls',
    `<tool_call>{"name":"get_weather","arguments":{"city":"Paris"}}</tool_call>\n<tool_call>\n${JSON.stringify({ name: 'f', arguments: TRICKY })}\n</tool_call>`,
    [weather, call('f', TRICKY)],
  ],
  ['hermes', 'a call without end', '<tool_call>{"name": "f", "arguments": {}}', [call('f', {})]],
  ['hermes', 'no JSON', '<tool_call>nonsense</tool_call>', [{ text: '<tool_call>nonsense' }]],
  ['llama3', 'text alone', 'Hello {"name": 1}', [{ text: 'Hello {"name": 1}' }]],
  ['llama3', 'a call', '{"name": "get_weather", "parameters": {"city": "Paris"}}', [weather]],
  ['llama3', 'a tagged call', '<|python_tag|>{"name": "f", "parameters": {}}', [call('f', {})]],
  [
    'llama3',
    'two calls',
    `{"name": "get_weather", "parameters": {"city": "Paris"}}; ${JSON.stringify({ name: 'f', parameters: TRICKY })}`,
    [weather, call('f', TRICKY)],
  ],
  ['llama3', 'JSON that is no call', '{"answer": 42} and more', [{ text: '{"answer": 42} and more' }]],
  ['llama3', 'JSON without end', '{"name": "f", "par', [{ text: '{"name": "f", "par' }]],
  ['mistral', 'text alone', 'A list [1, 2] and [TOOL', [{ text: 'A list [1, 2] and [TOOL' }]],
  [
    'mistral',
    'a list of calls behind text',
    `Sure. [TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}}, ${JSON.stringify({ name: 'f', arguments: TRICKY })}]`,
    [{ text: 'Sure. ' }, weather, call('f', TRICKY)],
  ],
  [
    'mistral',
    'calls with their names in front',
    `[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]f[ARGS]${JSON.stringify(TRICKY)}`,
    [weather, call('f', TRICKY)],
  ],
  ['mistral', 'no JSON', '[TOOL_CALLS] [nonsense]', [{ text: '[TOOL_CALLS] [nonsense]' }]],
  ['mistral', 'calls without end', '[TOOL_CALLS] [{"name": "f"', [{ text: '[TOOL_CALLS] [{"name": "f"' }]],
];

/** Neighbouring texts as one. */
function merged(parts: readonly AnswerPart[]): AnswerPart[] {
  const result: AnswerPart[] = [];
  for (const part of parts) {
    const last = result.at(-1);
    if ('text' in part && last !== undefined && 'text' in last) last.text += part.text;
    else result.push({ ...part });
  }
  return result;
}

describe.each(TOOL_FORMATS)('calls in the form of $name', ({ name, createParser }) => {
  it.each(ANSWERS.filter(([format]) => format === name))('%s: %s', (_, __, text, expected) => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (sizes) => {
        const parser = createParser();
        const parts: AnswerPart[] = [];
        for (let from = 0, index = 0; from < text.length; index++) {
          const size = sizes[index % sizes.length] as number;
          parts.push(...parser.append(text.slice(from, from + size)));
          from += size;
        }
        parts.push(...parser.flush());
        expect(merged(parts)).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  it('gives out at once what can be no call', () => {
    expect(createParser().append('Hello')).toEqual([{ text: 'Hello' }]);
  });
});

describe('the form of calls', () => {
  it.each([
    ['{% for tool in tools %}<tool_call>{% endfor %}', 'hermes'],
    ["{{ '[TOOL_CALLS]' }}", 'mistral'],
    ['{{ "<|python_tag|>" }}', 'llama3'],
    ['{{ messages }}', 'hermes'],
  ])('of the template %s is %s', (template, expected) => {
    expect(toolFormatOf(template).name).toBe(expected);
  });

  it('is told in a message where a template knows no tools', () => {
    const tool = { name: 'f', parameters: { type: 'object' } };
    const messages = presentTools(
      [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Call f.' },
        { role: 'assistant', content: '', toolCalls: [{ id: '1', name: 'f', arguments: { a: 1 } }] },
        { role: 'tool', content: '42', toolCallId: '1' },
      ],
      [tool],
    );
    expect(messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user']);
    expect(messages[0]?.content).toContain(`Be brief.\n\n`);
    expect(messages[0]?.content).toContain('"name":"f"');
    expect(messages[2]?.content).toBe('<tool_call>\n{"name":"f","arguments":{"a":1}}\n</tool_call>');
    expect(messages[3]?.content).toBe('<tool_response>\n42\n</tool_response>');
  });
});
