/** Anthropic's package against the server. */
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CODE, type ConformanceServers, conformanceServers, PROMPT, WEATHER_SCHEMA } from '../conformance-cases.ts';

describe("Anthropic's package", () => {
  let servers: ConformanceServers;
  let nano: Anthropic;
  let agent: Anthropic;
  beforeAll(async () => {
    servers = await conformanceServers();
    const client = (baseURL: string) => new Anthropic({ baseURL, apiKey: 'none', maxRetries: 0 });
    nano = client(servers.nano.url);
    agent = client(servers.agent.url);
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const request = {
    model: 'nano',
    max_tokens: 5,
    temperature: 0,
    messages: [{ role: 'user' as const, content: PROMPT }],
  };
  const tools = [{ name: 'get_weather', description: 'Weather.', input_schema: WEATHER_SCHEMA }];

  it('gets an answer', async () => {
    const message = await nano.messages.create(request);
    expect(message).toMatchObject({
      type: 'message',
      role: 'assistant',
      content: [{ type: 'text', text: CODE }],
      stop_reason: 'max_tokens',
      usage: { output_tokens: 5 },
    });
    const { input_tokens, cache_read_input_tokens } = message.usage;
    expect(input_tokens + (cache_read_input_tokens ?? 0)).toBe(PROMPT.length);
  });

  it('streams', async () => {
    const stream = nano.messages.stream(request);
    let text = '';
    stream.on('text', (piece) => {
      text += piece;
    });
    const message = await stream.finalMessage();
    expect(text).toBe(CODE);
    expect(message).toMatchObject({
      content: [{ text: CODE }],
      stop_reason: 'max_tokens',
      usage: { output_tokens: 5 },
    });
  });

  it('takes a system message, blocks and stop sequences', async () => {
    const message = await nano.messages.create({
      ...request,
      system: [{ type: 'text', text: PROMPT.slice(0, 10) }],
      messages: [{ role: 'user', content: [{ type: 'text', text: PROMPT.slice(10) }] }],
      stop_sequences: ['1'],
    });
    expect(message).toMatchObject({ content: [{ text: '482' }], stop_reason: 'stop_sequence', stop_sequence: '1' });
  });

  it('gets a call that it requires', async () => {
    const message = await nano.messages.create({
      ...request,
      max_tokens: 200,
      tools,
      tool_choice: { type: 'tool', name: 'get_weather' },
    });
    expect(message.stop_reason).toBe('tool_use');
    expect(message.content).toMatchObject([{ type: 'tool_use', name: 'get_weather', input: { city: 'Paris' } }]);
  });

  it.each([false, true])('gets two calls at once, and an answer to their results (streamed: %s)', async (stream) => {
    const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'Weather?' }];
    const ask = () => {
      const body = { model: 'agent', max_tokens: 500, messages, tools };
      return stream ? agent.messages.stream(body).finalMessage() : agent.messages.create(body);
    };
    const { content, stop_reason } = await ask();
    const calls = content.filter((block) => block.type === 'tool_use');
    expect(calls.map(({ input }) => input)).toEqual([{ city: 'Paris' }, { city: 'Rome' }]);
    expect(stop_reason).toBe('tool_use');
    const results = calls.map(({ id }) => ({ type: 'tool_result' as const, tool_use_id: id, content: 'sunny' }));
    messages.push({ role: 'assistant', content }, { role: 'user', content: results });
    expect(await ask()).toMatchObject({ content: [{ type: 'text', text: 'It is sunny.' }], stop_reason: 'end_turn' });
  });

  it('counts tokens', async () => {
    const { input_tokens } = await nano.messages.countTokens({ model: 'nano', messages: request.messages });
    expect(input_tokens).toBe(PROMPT.length);
  });

  it('aborts', async () => {
    const stream = nano.messages.stream({
      ...request,
      max_tokens: 2000,
      messages: [{ role: 'user', content: 'On and on. '.repeat(50) }],
    });
    stream.on('text', () => stream.abort());
    await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
  });

  it('throws its own errors', async () => {
    await expect(nano.messages.create({ ...request, model: 'claude' })).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    const long = nano.messages.create({ ...request, messages: [{ role: 'user', content: 'x'.repeat(5000) }] });
    await expect(long).rejects.toBeInstanceOf(Anthropic.BadRequestError);
    const failing = { ...request, model: 'agent', messages: [{ role: 'user' as const, content: 'fail now' }] };
    await expect(agent.messages.create(failing)).rejects.toMatchObject({ status: 500, type: 'api_error' });
    await expect(agent.messages.stream(failing).finalMessage()).rejects.toThrow(/failed/);
  });
});
