/** Requests that are nearly right: each gets an answer that clients can read, and the server goes on. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scriptedModel } from '../test/scripted.ts';
import { post, serve, type TestServer } from '../test/servers.ts';

const MESSAGES = {
  model: 'scripted',
  max_tokens: 3,
  system: [{ type: 'text', text: 'Be brief.' }],
  messages: [
    { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
    { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: {} }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: '1' }] },
  ],
  tools: [{ name: 'f', input_schema: { type: 'object', properties: {} } }],
  stop_sequences: ['x'],
};

const REQUESTS: Record<string, object> = {
  '/v1/chat/completions': {
    model: 'scripted',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'a', content: '1' },
    ],
    max_tokens: 3,
    temperature: 1,
    top_p: 0.9,
    n: 1,
    stop: ['x'],
    stream: false,
    stream_options: { include_usage: true },
    logit_bias: { '1': 1 },
    tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }],
    tool_choice: 'auto',
    response_format: { type: 'text' },
    seed: 1,
  },
  '/v1/completions': { model: 'scripted', prompt: ['Hello', 'World'], max_tokens: 2, logprobs: 1, echo: true },
  '/v1/responses': {
    model: 'scripted',
    instructions: 'Be brief.',
    input: [
      { role: 'user', content: [{ type: 'input_text', text: 'Hello' }] },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: '1' },
    ],
    max_output_tokens: 3,
    tools: [{ type: 'function', name: 'f', parameters: { type: 'object', properties: {} } }],
    text: { format: { type: 'text' } },
  },
  '/v1/messages': MESSAGES,
  '/v1/messages/count_tokens': MESSAGES,
  '/tokenize': { content: 'Hello', add_special: true },
  '/detokenize': { tokens: [1, 2, 3] },
};

const STRANGE: unknown[] = [
  null,
  true,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '',
  '\u0000',
  '\ud800',
  'x'.repeat(3000),
  [],
  {},
  [[[]]],
  { $ref: '#' },
  [null],
  { __proto__: null, constructor: 1 },
  '<|im_end|>',
  [1, 'a', {}],
];

/** Puts a strange value in place of one of the values inside, or takes it away. */
const mutate = (value: unknown, steps: readonly number[], strange: unknown): unknown => {
  const [step, ...rest] = steps;
  if (step === undefined || typeof value !== 'object' || value === null || Object.keys(value).length === 0)
    return strange;
  const keys = Object.keys(value);
  const key = keys[step % keys.length] as string;
  const inner = mutate((value as Record<string, unknown>)[key], rest, strange);
  return Array.isArray(value)
    ? value.map((each, index) => (String(index) === key ? inner : each))
    : { ...value, [key]: inner };
};

const mutation = fc.record({
  path: fc.constantFrom(...Object.keys(REQUESTS)),
  steps: fc.array(fc.nat(30), { minLength: 0, maxLength: 5 }),
  strange: fc.constantFrom(...STRANGE),
  method: fc.constantFrom('POST', 'POST', 'POST', 'POST', 'POST', 'PUT', 'DELETE', 'GET'),
  type: fc.constantFrom('application/json', 'application/json', 'application/json; charset=utf-8', 'text/plain', ''),
  headers: fc.constantFrom<Record<string, string>>(
    {},
    {},
    {},
    { Accept: 'text/html' },
    { Authorization: 'Bearer \u00ff' },
    { 'Content-Encoding': 'gzip' },
    { 'X-Api-Key': 'x'.repeat(4000) },
    { 'Anthropic-Version': '1', 'OpenAI-Beta': 'x' },
  ),
  damage: fc.constantFrom<(body: Buffer) => Buffer>(
    (body) => body,
    (body) => body,
    (body) => body,
    (body) => body.subarray(0, body.length >> 1),
    (body) => Buffer.concat([body, Buffer.from([0xff])]),
    (body) => Buffer.from(body.toString('utf16le')),
    (body) => Buffer.concat([Buffer.from('\ufeff'), body]),
    () => Buffer.from(`${'['.repeat(5000)}${']'.repeat(5000)}`),
  ),
});

describe('requests that were changed at random', () => {
  let server: TestServer;
  beforeAll(async () => {
    const { source } = scriptedModel({ answer: () => 'ok' });
    server = await serve({ models: [source], limits: { maxBodyBytes: 20_000 } });
  });
  afterAll(() => server.close());

  it('are answered or refused with the error of the API, 300 times', async () => {
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(mutation, async ({ path, steps, strange, method, type, headers, damage }) => {
        const body = damage(Buffer.from(JSON.stringify(mutate(REQUESTS[path], steps, strange))));
        const response = await fetch(server.url + path, {
          method,
          headers: { ...headers, 'Content-Type': type },
          ...(method !== 'GET' && { body: new Uint8Array(body) }),
        });
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        const text = await response.text();
        if (response.status === 200) return;
        expect(response.status, text).toBeGreaterThanOrEqual(400);
        expect(response.status, `${path} ${body.toString().slice(0, 1000)} ${text}`).toBeLessThan(500);
        const { error } = JSON.parse(text);
        expect(error).toMatchObject({
          message: expect.any(String),
          type: expect.any(String),
          ...(!path.startsWith('/v1/messages') && { code: expect.any(String) }),
        });
        expect(text).not.toMatch(/\bat .*\.ts|node_modules/);
      }),
      { numRuns: 300, endOnFailure: true },
    );
    expect(statuses.get(400)).toBeGreaterThan(50);
    const messages = [{ role: 'user', content: 'x' }];
    expect((await post(`${server.url}/v1/chat/completions`, { messages })).status).toBe(200);
  });
});
