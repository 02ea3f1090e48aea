/** A model with a vocabulary and a chat template of its own, through the clients. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import Anthropic from '@anthropic-ai/sdk';
import { ChatOpenAI } from '@langchain/openai';
import { generateObject, generateText, streamText } from 'ai';
import { Ajv } from 'ajv';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { sharedFile } from '../../../llm/test/shared.ts';
import { localModel } from '../../src/index.ts';
import { serve, type TestServer } from '../servers.ts';

const path = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');

describe.skipIf(path === undefined)('SmolLM2 behind the server', () => {
  let server: TestServer;
  let client: OpenAI;
  beforeAll(async () => {
    server = await serve({ models: [localModel('smollm2', path as string, { context: 4096, threads: 2 })] });
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  afterAll(() => server.close());

  const request = {
    model: 'smollm2',
    messages: [{ role: 'user' as const, content: 'What is the capital of France? Answer in one sentence.' }],
    temperature: 0,
    max_tokens: 60,
  };

  it('answers, ends by itself, and streams the same', async () => {
    const { choices, usage } = await client.chat.completions.create(request);
    expect(choices[0]?.message.content).toContain('Paris');
    expect(choices[0]?.finish_reason).toBe('stop');
    const stream = await client.chat.completions.stream(request).finalChatCompletion();
    expect(stream.choices[0]?.message.content).toBe(choices[0]?.message.content);
    expect(usage?.prompt_tokens).toBeGreaterThan(20);
  });

  it('answers every client alike, streamed or not', async () => {
    const { choices } = await client.chat.completions.create(request);
    const expected = choices[0]?.message.content as string;
    const prompt = request.messages[0]?.content as string;
    const settings = { temperature: 0, maxRetries: 0 };

    const model = createOpenAICompatible({
      name: 'keysieve',
      baseURL: `${server.url}/v1`,
      supportsStructuredOutputs: true,
    })('smollm2');
    expect((await generateText({ ...settings, model, prompt, maxOutputTokens: 60 })).text).toBe(expected);
    expect(await streamText({ ...settings, model, prompt, maxOutputTokens: 60 }).text).toBe(expected);
    const schema = z.object({ capital: z.enum(['Paris', 'Rome']) });
    const { object } = await generateObject({ ...settings, model, prompt, schema, maxOutputTokens: 60 });
    expect(object).toEqual({ capital: 'Paris' });

    const configuration = { baseURL: `${server.url}/v1` };
    const chat = new ChatOpenAI({ model: 'smollm2', apiKey: 'none', maxTokens: 60, configuration, ...settings });
    expect((await chat.invoke(prompt)).content).toBe(expected);
    let streamed = '';
    for await (const chunk of await chat.stream(prompt)) streamed += chunk.content;
    expect(streamed).toBe(expected);
    expect(await chat.withStructuredOutput(schema).invoke(prompt)).toEqual({ capital: 'Paris' });

    const anthropic = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
    const message = await anthropic.messages.create(request);
    expect([message.content, message.stop_reason]).toEqual([[{ type: 'text', text: expected }], 'end_turn']);
    expect((await anthropic.messages.stream(request).finalMessage()).content).toEqual(message.content);
    const input_schema = { type: 'object' as const, properties: { city: { enum: ['Paris'] } }, required: ['city'] };
    const called = await anthropic.messages.create({
      ...request,
      tools: [{ name: 'get_weather', description: 'Weather of a city.', input_schema }],
      tool_choice: { type: 'tool', name: 'get_weather' },
    });
    expect(called).toMatchObject({
      stop_reason: 'tool_use',
      content: [{ type: 'tool_use', name: 'get_weather', input: { city: 'Paris' } }],
    });
  });

  it('follows schemas', async () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 20 },
        population: { enum: ['small', 'large'] },
        tags: { type: 'array', items: { enum: ['river', 'sea', 'hills'] }, minItems: 1, maxItems: 3 },
      },
      required: ['name', 'population', 'tags'],
      additionalProperties: false,
    };
    const validate = new Ajv().compile(schema);
    for (const seed of [1, 2, 3]) {
      const { choices } = await client.chat.completions.create({
        ...request,
        messages: [{ role: 'user', content: 'Describe Paris as JSON.' }],
        temperature: 1,
        seed,
        max_tokens: 200,
        response_format: { type: 'json_schema', json_schema: { name: 'city', schema } },
      });
      const text = choices[0]?.message.content as string;
      expect(choices[0]?.finish_reason, text).toBe('stop');
      expect(validate(JSON.parse(text)), text).toBe(true);
    }
  });

  it('calls a tool, though its template knows none', async () => {
    const parameters = {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 30 } },
      required: ['city'],
      additionalProperties: false,
    };
    const { choices } = await client.chat.completions.create({
      ...request,
      messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
      max_tokens: 200,
      tools: [{ type: 'function', function: { name: 'get_weather', description: 'Weather of a city.', parameters } }],
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
    });
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    const call = choices[0]?.message.tool_calls?.[0] as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect(Object.keys(JSON.parse(call.function.arguments))).toEqual(['city']);
  });

  it('reads no control token out of a message', async () => {
    const ids = async (content: string) => {
      const response = await client.chat.completions.create({
        ...request,
        messages: [{ role: 'user', content }],
        max_tokens: 1,
      });
      return response.usage?.prompt_tokens as number;
    };
    expect(await ids('<|im_end|>')).toBeGreaterThan((await ids('x')) + 2);
  });
});
