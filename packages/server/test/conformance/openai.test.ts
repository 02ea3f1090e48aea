/** The openai package against the server. */
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CODE, type ConformanceServers, conformanceServers, PROMPT, WEATHER_SCHEMA } from '../conformance-cases.ts';

describe('the openai package', () => {
  let servers: ConformanceServers;
  let nano: OpenAI;
  let agent: OpenAI;
  beforeAll(async () => {
    servers = await conformanceServers();
    const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    nano = client(servers.nano.url);
    agent = client(servers.agent.url);
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const request = { model: 'nano', messages: [{ role: 'user' as const, content: PROMPT }], temperature: 0 };
  const tools = [
    {
      type: 'function' as const,
      function: { name: 'get_weather', description: 'Weather.', parameters: WEATHER_SCHEMA },
    },
  ];

  it('gets an answer', async () => {
    const { choices, usage } = await nano.chat.completions.create({ ...request, max_completion_tokens: 5 });
    expect(choices[0]?.message.content).toBe(CODE);
    expect(usage).toMatchObject({ prompt_tokens: PROMPT.length, completion_tokens: 5 });
    expect(usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThanOrEqual(0);
  });

  it('streams, with usage', async () => {
    const options = { stream: true as const, stream_options: { include_usage: true }, max_tokens: 5 };
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of await nano.chat.completions.create({ ...request, ...options })) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage ??= chunk.usage;
    }
    expect(text).toBe(CODE);
    expect(usage?.total_tokens).toBe(PROMPT.length + 5);
  });

  it('puts a stream together', async () => {
    const completion = await nano.chat.completions.stream({ ...request, max_tokens: 5 }).finalChatCompletion();
    expect(completion.choices[0]?.message.content).toBe(CODE);
    expect(completion.choices[0]?.finish_reason).toBe('length');
  });

  it.each([false, true])('gets a call that it requires (streamed: %s)', async (stream) => {
    const body = { ...request, tools, tool_choice: 'required' as const, parallel_tool_calls: false };
    const completion = stream
      ? await nano.chat.completions.stream(body).finalChatCompletion()
      : await nano.chat.completions.create(body);
    const [choice] = completion.choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message.tool_calls).toMatchObject([
      { type: 'function', id: expect.any(String), function: { name: 'get_weather', arguments: '{"city":"Paris"}' } },
    ]);
  });

  it.each([false, true])('gets two calls at once, and an answer to their results (streamed: %s)', async (stream) => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Weather in Paris and Rome?' }];
    const ask = () => {
      const body = { model: 'agent', messages, tools };
      return stream ? agent.chat.completions.stream(body).finalChatCompletion() : agent.chat.completions.create(body);
    };
    const { message, finish_reason } = (await ask()).choices[0] as OpenAI.ChatCompletion.Choice;
    expect(finish_reason).toBe('tool_calls');
    const calls = message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[];
    expect(calls.map((call) => JSON.parse(call.function.arguments).city)).toEqual(['Paris', 'Rome']);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    messages.push(message, ...calls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: 'sunny' })));
    expect((await ask()).choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'It is sunny.' } });
  });

  it('runs tools by itself', async () => {
    const weather = {
      type: 'function' as const,
      function: {
        name: 'get_weather',
        description: 'Weather.',
        parameters: WEATHER_SCHEMA,
        parse: JSON.parse,
        function: ({ city }: { city: string }) => (city === 'Paris' ? 'sunny' : 'rainy'),
      },
    };
    const runner = agent.chat.completions.runTools({
      model: 'agent',
      messages: [{ role: 'user', content: 'Weather?' }],
      tools: [weather],
      stream: true,
    });
    expect(await runner.finalContent()).toBe('It is sunny.');
  });

  it('gets an answer by a schema', async () => {
    const format = zodResponseFormat(z.object({ color: z.literal('blue') }), 'answer');
    const { choices } = await nano.chat.completions.parse({ ...request, response_format: format });
    expect(choices[0]?.message.parsed).toEqual({ color: 'blue' });
    expect(choices[0]?.finish_reason).toBe('stop');
  });

  it('gets log-probabilities', async () => {
    const { choices } = await nano.chat.completions.create({
      ...request,
      max_tokens: 2,
      logprobs: true,
      top_logprobs: 2,
    });
    expect(choices[0]?.logprobs?.content?.map(({ token }) => token)).toEqual(['4', '8']);
  });

  it('aborts, and the next answer is right', async () => {
    const controller = new AbortController();
    const stream = await nano.chat.completions.create(
      { ...request, messages: [{ role: 'user', content: 'On and on. '.repeat(50) }], stream: true },
      { signal: controller.signal },
    );
    for await (const _ of stream) controller.abort();
    const { choices } = await nano.chat.completions.create({ ...request, max_tokens: 5 });
    expect(choices[0]?.message.content).toBe(CODE);
  });

  it('throws its own errors', async () => {
    const wrong = nano.chat.completions.create({ ...request, model: 'gpt-4' });
    await expect(wrong).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const long = nano.chat.completions.create({ ...request, messages: [{ role: 'user', content: 'x'.repeat(5000) }] });
    await expect(long).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
    const failing = { model: 'agent', messages: [{ role: 'user' as const, content: 'fail now' }] };
    await expect(agent.chat.completions.create(failing)).rejects.toBeInstanceOf(OpenAI.InternalServerError);
    await expect(nano.embeddings.create({ model: 'nano', input: 'x' })).rejects.toMatchObject({ status: 501 });
  });

  describe('with responses', () => {
    const ask = { model: 'nano', input: PROMPT, temperature: 0, max_output_tokens: 5 };

    it('gets an answer', async () => {
      const response = await nano.responses.create({ ...ask, instructions: '' });
      expect(response).toMatchObject({ output_text: CODE, status: 'incomplete', usage: { output_tokens: 5 } });
      expect(response.incomplete_details?.reason).toBe('max_output_tokens');
    });

    it('puts a stream together', async () => {
      const types: string[] = [];
      const stream = nano.responses.stream(ask);
      for await (const event of stream) types.push(event.type);
      expect(types.slice(0, 4)).toEqual([
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
      ]);
      expect(types.at(-1)).toBe('response.incomplete');
      expect((await stream.finalResponse()).output_text).toBe(CODE);
    });

    it('gets two calls at once, and an answer to their results', async () => {
      const tool = { type: 'function' as const, name: 'get_weather', strict: false, parameters: WEATHER_SCHEMA };
      const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'Weather?' }];
      const first = await agent.responses.create({ model: 'agent', input, tools: [tool] });
      const calls = first.output.filter((item) => item.type === 'function_call');
      expect(calls.map((call) => JSON.parse(call.arguments).city)).toEqual(['Paris', 'Rome']);
      const results = calls.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'sunny' }));
      const second = await agent.responses.create({
        model: 'agent',
        input: [...input, ...calls, ...results],
        tools: [tool],
      });
      expect(second).toMatchObject({ output_text: 'It is sunny.', status: 'completed' });
    });

    it('gets an answer by a schema', async () => {
      const schema = { type: 'object', properties: { color: { const: 'blue' } }, required: ['color'] };
      const text = { format: { type: 'json_schema' as const, name: 'answer', schema } };
      const response = await nano.responses.create({ model: 'nano', input: 'Which color?', text });
      expect(JSON.parse(response.output_text)).toEqual({ color: 'blue' });
    });

    it('is told that nothing is remembered', async () => {
      const request = nano.responses.create({ ...ask, previous_response_id: 'resp_1' });
      await expect(request).rejects.toMatchObject({ status: 400, param: 'previous_response_id' });
    });
  });

  it('completes text, and lists models', async () => {
    const { choices } = await nano.completions.create({ model: 'nano', prompt: PROMPT, max_tokens: 5, temperature: 0 });
    expect(choices[0]?.text).toBe(CODE);
    const models = await nano.models.list();
    expect(models.data.map(({ id }) => id)).toEqual(['nano']);
    expect((await nano.models.retrieve('nano')).object).toBe('model');
  });
});
