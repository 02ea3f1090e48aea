/** What the tests of all clients ask. */
import { scriptedModel } from './scripted.ts';
import { recallPrompt, serve, serveNano, type TestServer } from './servers.ts';

export const CODE = '48213';
export const PROMPT = recallPrompt(CODE);

/** A tool whose arguments a grammar leaves no choice, so that any model calls it right. */
export const WEATHER_SCHEMA = {
  type: 'object' as const,
  properties: { city: { type: 'string' as const, enum: ['Paris'] } },
  required: ['city'],
  additionalProperties: false,
};

/** An answer format of one value. */
export const ANSWER_SCHEMA = {
  type: 'object' as const,
  properties: { color: { type: 'string' as const, enum: ['blue'] } },
  required: ['color'],
  additionalProperties: false,
};

export const TWO_CALLS =
  '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n' +
  '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>';

/** A template that presents tools and asks for calls between tags. */
export const TOOL_TEMPLATE =
  '{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}' +
  '{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}';

export interface ConformanceServers extends AsyncDisposable {
  nano: TestServer;
  /** A model that makes two calls, and answers with what the tools have said. */
  agent: TestServer;
}

export async function conformanceServers(): Promise<ConformanceServers> {
  const nano = await serveNano();
  const { source } = scriptedModel({
    id: 'agent',
    template: TOOL_TEMPLATE,
    answer: (prompt) => (prompt.includes('[tool]') ? `It is ${/\[tool\](\w+)/.exec(prompt)?.[1]}.` : TWO_CALLS),
    beforeStep({ prompt }) {
      if (prompt.includes('fail now')) throw new Error('broken');
    },
  });
  const agent = await serve({ models: [source] });
  return {
    nano,
    agent,
    async [Symbol.asyncDispose]() {
      await nano.close();
      await agent.close();
    },
  };
}
