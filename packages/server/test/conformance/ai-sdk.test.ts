/** The Vercel AI SDK with its provider for servers of OpenAI's shape. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CODE, type ConformanceServers, conformanceServers, PROMPT } from '../conformance-cases.ts';

describe('the AI SDK', () => {
  let servers: ConformanceServers;
  let nano: ReturnType<ReturnType<typeof createOpenAICompatible>>;
  let agent: typeof nano;
  beforeAll(async () => {
    servers = await conformanceServers();
    const model = (url: string, id: string) =>
      createOpenAICompatible({
        name: 'keysieve',
        baseURL: `${url}/v1`,
        includeUsage: true,
        supportsStructuredOutputs: true,
      })(id);
    nano = model(servers.nano.url, 'nano');
    agent = model(servers.agent.url, 'agent');
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const weather = tool({
    description: 'Weather.',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => (city === 'Paris' ? 'sunny' : 'rainy'),
  });
  const settings = { temperature: 0, maxRetries: 0 };

  it('gets an answer', async () => {
    const { text, usage, finishReason } = await generateText({
      ...settings,
      model: nano,
      prompt: PROMPT,
      maxOutputTokens: 5,
    });
    expect([text, finishReason]).toEqual([CODE, 'length']);
    expect(usage).toMatchObject({ inputTokens: PROMPT.length, outputTokens: 5 });
    expect(usage.cachedInputTokens).toBeGreaterThanOrEqual(0);
  });

  it('streams, with usage', async () => {
    const result = streamText({ ...settings, model: nano, prompt: PROMPT, maxOutputTokens: 5 });
    let text = '';
    for await (const piece of result.textStream) text += piece;
    expect(text).toBe(CODE);
    expect((await result.usage).totalTokens).toBe(PROMPT.length + 5);
  });

  it.each([false, true])(
    'runs two tools at once, and gets an answer to their results (streamed: %s)',
    async (stream) => {
      const options = {
        ...settings,
        model: agent,
        prompt: 'Weather?',
        tools: { get_weather: weather },
        stopWhen: stepCountIs(3),
      };
      const result = stream ? streamText(options) : await generateText(options);
      const steps = await result.steps;
      expect(steps[0]?.toolCalls.map(({ input }) => input)).toEqual([{ city: 'Paris' }, { city: 'Rome' }]);
      expect(await result.text).toBe('It is sunny.');
    },
  );

  it('gets a call that it requires', async () => {
    const { toolCalls, finishReason } = await generateText({
      ...settings,
      model: nano,
      prompt: 'Weather?',
      tools: { get_weather: tool({ inputSchema: z.object({ city: z.literal('Paris') }) }) },
      toolChoice: 'required',
      // Nano would repeat the call for ever.
      providerOptions: { keysieve: { parallel_tool_calls: false } },
    });
    expect(toolCalls[0]).toMatchObject({ toolName: 'get_weather', input: { city: 'Paris' } });
    expect(finishReason).toBe('tool-calls');
  });

  it('gets an object by a schema', async () => {
    const schema = z.object({ color: z.literal('blue') });
    const { object } = await generateObject({ ...settings, model: nano, prompt: 'Which color?', schema });
    expect(object).toEqual({ color: 'blue' });
  });

  it('aborts', async () => {
    const controller = new AbortController();
    const long = { ...settings, model: nano, prompt: 'On and on. '.repeat(50), abortSignal: controller.signal };
    const aborted: string[] = [];
    for await (const part of streamText(long).fullStream) {
      if (part.type === 'text-delta') controller.abort();
      if (part.type === 'abort') aborted.push(part.type);
    }
    expect(aborted).toEqual(['abort']);
  });

  it('tells of errors', async () => {
    const prompt = 'x'.repeat(5000);
    await expect(generateText({ ...settings, model: nano, prompt })).rejects.toMatchObject({ statusCode: 400 });
    const errors: unknown[] = [];
    const stream = streamText({
      ...settings,
      model: agent,
      prompt: 'fail now',
      onError: ({ error }) => void errors.push(error),
    });
    for await (const part of stream.fullStream) if (part.type === 'error') errors.push(part.error);
    expect(errors.length).toBeGreaterThan(0);
  });
});
