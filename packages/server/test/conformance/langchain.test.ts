/** LangChain.js against the server. */
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CODE, type ConformanceServers, conformanceServers, PROMPT } from '../conformance-cases.ts';

describe('LangChain', () => {
  let servers: ConformanceServers;
  let nano: (options?: object) => ChatOpenAI;
  let agent: ChatOpenAI;
  beforeAll(async () => {
    servers = await conformanceServers();
    const model = (url: string, id: string, options: object = {}) =>
      new ChatOpenAI({
        model: id,
        apiKey: 'none',
        temperature: 0,
        maxRetries: 0,
        configuration: { baseURL: `${url}/v1` },
        ...options,
      });
    nano = (options) => model(servers.nano.url, 'nano', options);
    agent = model(servers.agent.url, 'agent');
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const weather = tool(async ({ city }) => (city === 'Paris' ? 'sunny' : 'rainy'), {
    name: 'get_weather',
    description: 'Weather.',
    schema: z.object({ city: z.string() }),
  });

  it('gets an answer', async () => {
    const message = await nano({ maxTokens: 5 }).invoke(PROMPT);
    expect(message.content).toBe(CODE);
    expect(message.usage_metadata).toMatchObject({ input_tokens: PROMPT.length, output_tokens: 5 });
  });

  it('streams', async () => {
    let text = '';
    let total = 0;
    for await (const chunk of await nano({ maxTokens: 5 }).stream(PROMPT)) {
      text += chunk.content;
      const usage: unknown = chunk.usage_metadata;
      total += (usage as { total_tokens: number } | undefined)?.total_tokens ?? 0;
    }
    expect([text, total]).toEqual([CODE, PROMPT.length + 5]);
  });

  it('gets two calls at once, and an answer to their results', async () => {
    const bound = agent.bindTools([weather]);
    const question = new HumanMessage('Weather?');
    const message = await bound.invoke([question]);
    const calls = message.tool_calls ?? [];
    expect(calls.map(({ args }) => args)).toEqual([{ city: 'Paris' }, { city: 'Rome' }]);
    const results = calls.map(({ id }) => new ToolMessage({ content: 'sunny', tool_call_id: id as string }));
    expect((await bound.invoke([question, message, ...results])).content).toBe('It is sunny.');
  });

  it('gets streamed calls', async () => {
    const stream = await agent.bindTools([weather]).stream('Weather?');
    let whole: Awaited<ReturnType<typeof agent.invoke>> | undefined;
    for await (const chunk of stream) whole = whole === undefined ? chunk : (whole as typeof chunk).concat(chunk);
    expect(whole?.tool_calls?.map(({ args }) => args.city)).toEqual(['Paris', 'Rome']);
  });

  it.each(['jsonSchema', 'functionCalling'] as const)('gets structured output by %s', async (method) => {
    const structured = nano().withStructuredOutput(z.object({ color: z.literal('blue') }), { name: 'answer', method });
    expect(await structured.invoke('Which color?')).toEqual({ color: 'blue' });
  });

  it('aborts', async () => {
    const controller = new AbortController();
    const stream = await nano().stream('On and on. '.repeat(50), { signal: controller.signal });
    await expect(async () => {
      for await (const _ of stream) controller.abort();
    }).rejects.toThrow();
  });

  it('tells of errors', async () => {
    await expect(nano().invoke('x'.repeat(5000))).rejects.toThrow(/5000 tokens/);
  });
});
