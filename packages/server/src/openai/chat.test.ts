/** The frames of chat and text completions, as clients parse them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post, readEvents, recallPrompt, serveNano, type TestServer } from '../../test/servers.ts';

let server: TestServer;
beforeAll(async () => {
  server = await serveNano();
});
afterAll(() => server.close());

const chat = (body: object) =>
  post(`${server.url}/v1/chat/completions`, {
    model: 'nano',
    messages: [{ role: 'user', content: recallPrompt('48213') }],
    temperature: 0,
    max_tokens: 5,
    ...body,
  });

interface Chunk {
  id: string;
  object: string;
  created: number;
  model: string;
  choices: { index: number; delta: Record<string, unknown>; finish_reason: string | null; logprobs: unknown }[];
  usage?: Record<string, unknown> | null;
  timings?: Record<string, number>;
  prompt_progress?: Record<string, number>;
  error?: Record<string, unknown>;
}

async function chunks(body: object) {
  const { events } = await readEvents(await chat({ stream: true, ...body }));
  expect(events.at(-1)?.data).toBe('[DONE]');
  return events.slice(0, -1).map(({ data }) => data as Chunk);
}

describe('a chat completion', () => {
  it('is one object with the answer, what it cost, and how exact it was', async () => {
    const response = await chat({});
    expect(response.status).toBe(200);
    const body = await response.json();
    expect(body).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      model: 'nano',
      choices: [
        { index: 0, message: { role: 'assistant', content: '48213' }, finish_reason: 'length', logprobs: null },
      ],
      usage: { completion_tokens: 5, prompt_tokens_details: { cached_tokens: expect.any(Number) } },
      timings: { predicted_n: 5, prompt_ms: expect.any(Number) },
    });
    const { usage } = body;
    expect(usage.prompt_tokens).toBe(recallPrompt('48213').length);
    expect(usage.total_tokens).toBe(usage.prompt_tokens + 5);
    const exact = { policy: 'dense', share: 1, left_out: { mean: 0, max: 0 }, kind: 'certified' };
    expect(usage.keysieve).toMatchObject({ prompt: exact, answer: exact });
  });

  it('reads only what is new of a prompt that begins as an earlier one', async () => {
    await chat({});
    const { usage } = await (await chat({})).json();
    expect(usage.prompt_tokens_details.cached_tokens).toBe(usage.prompt_tokens - 1);
  });

  it('takes content in parts, both names of the limit, and roles that came later', async () => {
    const [head, tail] = [recallPrompt('48213').slice(0, 20), recallPrompt('48213').slice(20)];
    const parts = (text: string) => [{ type: 'text', text }];
    const response = await chat({
      max_tokens: 1,
      max_completion_tokens: 3,
      unknown_field: { ignored: true },
      messages: [
        { role: 'developer', content: parts(head) },
        { role: 'user', content: parts(tail), name: null },
      ],
    });
    expect((await response.json()).choices[0].message.content).toBe('482');
  });

  it.each([
    ['a text', '1'],
    ['a list', ['1', 'zzz']],
  ])('ends before a stop string given as %s', async (_, stop) => {
    const { choices } = await (await chat({ stop, max_tokens: 20 })).json();
    expect(choices[0]).toMatchObject({ message: { content: '482' }, finish_reason: 'stop' });
  });

  it('gives several answers, of the same seed the same ones', async () => {
    const body = { n: 3, temperature: 2, top_k: 0, top_p: 1, min_p: 0, seed: -7, max_tokens: 12 };
    const [first, second] = await Promise.all(
      [chat(body), chat(body)].map(async (response) => (await response).json()),
    );
    const texts = first.choices.map((choice: { message: { content: string } }) => choice.message.content);
    expect(new Set(texts).size).toBe(3);
    expect(second.choices).toEqual(first.choices);
    expect(first.usage.completion_tokens).toBe(36);
    expect(first.usage.prompt_tokens).toBe(recallPrompt('48213').length);
  });

  it('gives log-probabilities where they are asked for', async () => {
    const { choices } = await (await chat({ logprobs: true, top_logprobs: 2, max_tokens: 2 })).json();
    const { content } = choices[0].logprobs;
    expect(content.map((each: { token: string }) => each.token)).toEqual(['4', '8']);
    expect(content[0]).toMatchObject({ bytes: [52], logprob: content[0].top_logprobs[0].logprob });
    expect(content[0].logprob).toBeLessThanOrEqual(0);
    expect(content[0].top_logprobs).toHaveLength(2);
  });

  it('draws by biases and penalties', async () => {
    const { choices } = await (await chat({ logit_bias: { '52': -100, '65': 100 }, max_tokens: 3 })).json();
    expect(choices[0].message.content).toBe('AAA');
    const penalized = await (await chat({ logit_bias: { '65': 20 }, presence_penalty: 2, max_tokens: 30 })).json();
    expect(penalized.choices[0].message.content).toMatch(/^A+$/);
  });
});

describe('a stream of chunks', () => {
  it('has choices in every chunk, the role first, the reason last, and usage after that', async () => {
    const all = await chunks({ stream_options: { include_usage: true }, return_progress: true });
    for (const chunk of all) {
      expect(Array.isArray(chunk.choices)).toBe(true);
      expect(chunk).toMatchObject({ id: all[0]?.id, object: 'chat.completion.chunk', model: 'nano' });
      expect(chunk.timings).not.toBe(null);
    }
    const progress = all.filter((chunk) => chunk.prompt_progress !== undefined);
    expect(progress.length).toBeGreaterThan(0);
    for (const chunk of progress) expect(chunk.choices).toEqual([]);
    const total = recallPrompt('48213').length;
    expect(progress.at(-1)?.prompt_progress).toMatchObject({ total, processed: total, cache: expect.any(Number) });

    const deltas = all.filter((chunk) => chunk.choices.length > 0).map((chunk) => chunk.choices[0]);
    expect(deltas[0]?.delta).toEqual({ role: 'assistant', content: '' });
    expect(deltas.map((each) => each?.delta.content ?? '').join('')).toBe('48213');
    expect(deltas.map((each) => each?.finish_reason)).toEqual([...Array(deltas.length - 1).fill(null), 'length']);
    expect(deltas.at(-1)?.delta).toEqual({});

    const last = all.at(-1) as Chunk;
    expect(last.choices).toEqual([]);
    expect(last.usage).toMatchObject({ prompt_tokens: total, completion_tokens: 5, keysieve: { prompt: {} } });
    expect(all.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  });

  it('has no usage and no progress where none is asked for', async () => {
    const all = await chunks({});
    expect(all.some((chunk) => 'usage' in chunk || 'prompt_progress' in chunk)).toBe(false);
    expect(all.every((chunk) => chunk.choices.length === 1)).toBe(true);
  });

  it('tells several answers apart by their index', async () => {
    const all = await chunks({ n: 2 });
    for (const index of [0, 1]) {
      const chunksOfChoice = all.filter((chunk) => chunk.choices[0]?.index === index);
      expect(chunksOfChoice[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
      expect(chunksOfChoice.at(-1)?.choices[0]?.finish_reason).toBe('length');
    }
  });
});

describe('a text completion', () => {
  const complete = (body: object) =>
    post(`${server.url}/v1/completions`, { model: 'nano', prompt: recallPrompt('48213'), temperature: 0, ...body });

  it('goes on from a text, 16 tokens unless told otherwise', async () => {
    const body = await (await complete({})).json();
    expect(body).toMatchObject({ object: 'text_completion', choices: [{ index: 0, finish_reason: 'length' }] });
    expect(body.choices[0].text).toMatch(/^48213/);
    expect(body.usage.completion_tokens).toBe(16);
  });

  it('takes token ids, and several prompts', async () => {
    const ids = [...Buffer.from(recallPrompt('77120'))];
    const one = await (await complete({ prompt: ids, max_tokens: 5 })).json();
    expect(one.choices[0].text).toBe('77120');
    const prompts = [recallPrompt('11111'), recallPrompt('90909')];
    const two = await (await complete({ prompt: prompts, max_tokens: 5, n: 2, echo: true })).json();
    const expected = [`${prompts[0]}11111`, `${prompts[0]}11111`, `${prompts[1]}90909`, `${prompts[1]}90909`];
    expect(two.choices.map(({ text }: { text: string }) => text)).toEqual(expected);
    expect(two.usage.prompt_tokens).toBe(prompts.join('').length);
  });

  it('streams, with log-probabilities and offsets', async () => {
    const { events } = await readEvents(await complete({ stream: true, max_tokens: 3, logprobs: 1 }));
    expect(events.at(-1)?.data).toBe('[DONE]');
    const choices = events.slice(0, -1).map(({ data }) => (data as { choices: Record<string, unknown>[] }).choices[0]);
    expect(choices.map((choice) => choice?.text).join('')).toBe('482');
    expect(choices[1]?.logprobs).toMatchObject({ tokens: ['8'], text_offset: [1] });
    expect(choices.at(-1)?.finish_reason).toBe('length');
  });

  it.each([
    ['a suffix', { suffix: 'x' }],
    ['a token that there is not', { prompt: [1, 9999] }],
    ['no prompt', { prompt: '' }],
  ])('refuses %s', async (_, body) => {
    const response = await complete(body);
    expect(response.status).toBe(400);
    expect((await response.json()).error.type).toBe('invalid_request_error');
  });
});

describe('other routes', () => {
  it('lists models', async () => {
    const list = await (await fetch(`${server.url}/v1/models`)).json();
    expect(list).toMatchObject({ object: 'list', data: [{ id: 'nano', object: 'model', meta: { n_ctx: 4096 } }] });
    expect((await fetch(`${server.url}/v1/models/nano`)).status).toBe(200);
    expect((await fetch(`${server.url}/v1/models/other`)).status).toBe(404);
  });

  it('makes tokens of text and text of tokens', async () => {
    const { tokens } = await (await post(`${server.url}/tokenize`, { content: 'héllo' })).json();
    expect(tokens).toEqual([...Buffer.from('héllo')]);
    expect(await (await post(`${server.url}/detokenize`, { tokens })).json()).toEqual({ content: 'héllo' });
  });

  it('is healthy once the model is loaded', async () => {
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok' });
  });

  it('counts what it does', async () => {
    await chat({});
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toMatch(/keysieve_requests_total\{route="\/v1\/chat\/completions",status="200"\} \d+/);
    expect(text).toMatch(/keysieve_keys_share_bucket\{le="1",phase="answer"\} [1-9]/);
    expect(text).toMatch(/keysieve_output_error_bucket\{le="1",phase="answer",kind="certified"\} [1-9]/);
    expect(text).toMatch(/keysieve_first_token_seconds_count [1-9]/);
  });
});
