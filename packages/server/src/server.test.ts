/** The server around the answers: its queue, its limits, disconnects, failures, loading and stopping. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { CHUNK, type Script, scriptedModel } from '../test/scripted.ts';
import { post, readEvents, serve, serveNano } from '../test/servers.ts';
import { startServer } from './index.ts';
import type { ServerOptions } from './options.ts';

async function serveScript(script: Script, options: Partial<ServerOptions> = {}) {
  const { source, log } = scriptedModel(script);
  const server = await serve({ models: [source], attention: { policy: 'dense' }, ...options });
  const chat = (content: string, body: object = {}, init: RequestInit = {}) =>
    post(`${server.url}/v1/chat/completions`, { messages: [{ role: 'user', content }], ...body }, init);
  return { server, log, chat };
}

/** A gate that steps of a script wait at. */
function createGate() {
  let open = () => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

describe('a connection that closes', () => {
  it('ends the reading of a prompt within one chunk, and what was read is kept', async () => {
    const gate = createGate();
    const { server, log, chat } = await serveScript(
      {
        answer: () => 'done',
        beforeStep: ({ phase, index }) => (phase === 'prefill' && index === 2 ? gate.promise : undefined),
      },
      { limits: { parallel: 1 } },
    );
    await using _ = server;
    const prompt = 'x'.repeat(20 * CHUNK);
    const controller = new AbortController();
    const request = chat(prompt, { stream: true }, { signal: controller.signal });
    await vi.waitFor(() => expect(log.chunks).toBe(2));
    controller.abort();
    await expect(request).rejects.toThrow();
    await sleep(50);
    gate.open();
    const { usage } = await (await chat(prompt)).json();
    expect(usage.prompt_tokens_details.cached_tokens).toBe(2 * CHUNK);
    expect(log.chunks).toBe(20);
    expect(log.sessions).toBe(1);
  });

  it.each([true, false])('ends an answer (streamed: %s)', async (stream) => {
    const gate = createGate();
    const { server, log, chat } = await serveScript({
      answer: (prompt) => (prompt === 'long' ? 'y'.repeat(1000) : 'ok'),
      beforeStep: ({ phase, index }) => (phase === 'decode' && index === 5 ? gate.promise : undefined),
    });
    await using _ = server;
    const controller = new AbortController();
    const request = chat('long', { stream }, { signal: controller.signal });
    await vi.waitFor(() => expect(log.tokens).toBe(5));
    controller.abort();
    if (stream) await expect((await request).text()).rejects.toThrow();
    else await expect(request).rejects.toThrow();
    await sleep(50);
    gate.open();
    expect((await (await chat('next')).json()).choices[0].message.content).toBe('ok');
    expect(log.tokens).toBeLessThanOrEqual(8);
  });

  it('gives a waiting request up', async () => {
    const gate = createGate();
    const { server, log, chat } = await serveScript(
      { answer: () => 'ok', beforeStep: ({ prompt }) => (prompt === 'first' ? gate.promise : undefined) },
      { limits: { parallel: 1, maxWaiting: 1 } },
    );
    await using _ = server;
    const first = chat('first');
    await vi.waitFor(() => expect(log.sessions).toBe(1));
    const controller = new AbortController();
    const second = chat('second', {}, { signal: controller.signal });
    await vi.waitFor(async () => expect(await metric(server.url, 'keysieve_waiting')).toBe(1));
    controller.abort();
    await expect(second).rejects.toThrow();
    await vi.waitFor(async () => expect(await metric(server.url, 'keysieve_waiting')).toBe(0));
    gate.open();
    expect((await first).status).toBe(200);
  });
});

const metric = async (url: string, name: string) =>
  Number(new RegExp(`^${name} (\\S+)`, 'm').exec(await (await fetch(`${url}/metrics`)).text())?.[1]);

describe('the queue', () => {
  it('refuses what is too much with 503 and the time to wait, and answers the others in their order', async () => {
    const gate = createGate();
    const order: string[] = [];
    const { server, log, chat } = await serveScript(
      {
        answer: (prompt) => prompt,
        beforeStep: ({ prompt }) => {
          order.push(prompt);
          return prompt === 'a' ? gate.promise : undefined;
        },
      },
      { limits: { parallel: 1, maxWaiting: 2 } },
    );
    await using _ = server;
    const body = { max_tokens: 1 };
    const requests = [chat('a', body)];
    await vi.waitFor(() => expect(log.sessions).toBe(1));
    for (const [index, name] of ['b', 'c'].entries()) {
      requests.push(chat(name, body));
      await vi.waitFor(async () => expect(await metric(server.url, 'keysieve_waiting')).toBe(index + 1));
    }
    const refused = await chat('d', body);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await refused.json()).error).toMatchObject({ type: 'unavailable_error', code: 'queue_full' });
    gate.open();
    const texts = await Promise.all(
      requests.map(async (each) => (await (await each).json()).choices[0].message.content),
    );
    expect(texts).toEqual(['a', 'b', 'c']);
    expect(order).toEqual(['a', 'b', 'c']);
  });

  it('lets nobody wait longer than is allowed', async () => {
    const gate = createGate();
    const { server, log, chat } = await serveScript(
      { answer: () => 'ok', beforeStep: ({ prompt }) => (prompt === 'first' ? gate.promise : undefined) },
      { limits: { parallel: 1, maxWaitMs: 30 } },
    );
    await using _ = server;
    const first = chat('first');
    await vi.waitFor(() => expect(log.sessions).toBe(1));
    const second = await chat('second');
    expect([second.status, (await second.json()).error.code]).toEqual([503, 'queue_timeout']);
    gate.open();
    expect((await first).status).toBe(200);
  });
});

describe('a stream', () => {
  it('has signs of life while a prompt is read, and a failure as a chunk with an error', async () => {
    const gate = createGate();
    const { server, chat } = await serveScript(
      {
        answer: () => 'abc',
        async beforeStep({ phase, index }) {
          if (phase === 'prefill') await gate.promise;
          else if (index === 2) throw new Error('secret details');
        },
      },
      { limits: { keepAliveMs: 10 } },
    );
    await using _ = server;
    const response = await chat('long', { stream: true });
    // The response begins with comments, before anything is read.
    let text = '';
    for await (const piece of response.body as ReadableStream<Uint8Array>) {
      text += Buffer.from(piece).toString();
      if (text.split(': working\n\n').length > 3) gate.open();
    }
    const { events, comments } = await readEvents(new Response(text));
    expect(comments.length).toBeGreaterThan(2);
    const texts = events.map(({ data }) => (data as Chunk).choices?.[0]?.delta.content ?? '');
    expect(texts.join('')).toBe('ab');
    const [failure, done] = events.slice(-2).map(({ data }) => data);
    expect(failure).toEqual({
      choices: [],
      error: { message: expect.any(String), type: 'server_error', code: 'internal_error', param: null },
    });
    expect(JSON.stringify(failure)).not.toContain('secret');
    expect(done).toBe('[DONE]');
    expect((await chat('again')).status).toBe(500);
  });

  it('fails with its status where it has not begun', async () => {
    const { server, chat } = await serveScript({ answer: () => 'ok', contextLength: 10 });
    await using _ = server;
    const response = await chat('a prompt of 21 tokens', { stream: true });
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({
      type: 'exceed_context_size_error',
      code: 'context_length_exceeded',
      n_prompt_tokens: 21,
      n_ctx: 10,
    });
  });

  it('ends when a request has taken as long as it may', async () => {
    const { server, chat } = await serveScript(
      // Far more than fits into the limit, which leaves time for the stream to begin on a busy machine.
      { answer: () => 'y'.repeat(2000), beforeStep: () => sleep(20) },
      { limits: { maxRequestMs: 2000 } },
    );
    await using _ = server;
    const { events } = await readEvents(await chat('go', { stream: true }));
    expect(events.at(-2)?.data).toMatchObject({ choices: [], error: { code: 'request_timeout' } });
    const whole = await chat('go');
    expect([whole.status, (await whole.json()).error.code]).toEqual([503, 'request_timeout']);
  });
});

interface Chunk {
  choices?: { delta: { content?: string } }[];
}

describe('models', () => {
  it('are loaded when they are asked for, and let go when memory is needed', async () => {
    const models = ['a', 'b', 'c'].map((id) => scriptedModel({ id, answer: () => id, bytes: 40 }));
    await using server = await serve({ models: models.map(({ source }) => source), limits: { maxModelBytes: 100 } });
    const loads = () => models.map(({ log }) => log.loads - log.disposals);
    const ask = async (model?: string) => {
      const messages = [{ role: 'user', content: 'x' }];
      const response = await post(`${server.url}/v1/chat/completions`, { model, messages });
      return (await response.json()).choices[0].message.content;
    };
    expect(loads()).toEqual([1, 0, 0]);
    expect(await ask()).toBe('a');
    expect(await ask('b')).toBe('b');
    expect(loads()).toEqual([1, 1, 0]);
    expect(await ask('a')).toBe('a');
    expect(await ask('c')).toBe('c');
    expect(loads()).toEqual([1, 0, 1]);
    const { data } = await (await fetch(`${server.url}/v1/models`)).json();
    expect(data.map(({ state }: { state: string }) => state)).toEqual(['ready', 'unloaded', 'ready']);
  });

  it('of no known name are 404', async () => {
    const { server, chat } = await serveScript({ answer: () => 'ok' });
    await using _ = server;
    const response = await chat('x', { model: 'gpt-4' });
    expect([response.status, (await response.json()).error.code]).toEqual([404, 'model_not_found']);
  });

  it.each([-1, 1.5, 65_536, Number.NaN])('is not started on port %s', async (port) => {
    await expect(serveNano({ port })).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it.each(['*', 'example.com', 'https://example.com/', 'https://example.com/chat', ''])(
    'is not started for pages of no origin: %j',
    async (origin) => {
      await expect(serveNano({ corsOrigins: [origin] })).rejects.toMatchObject({ code: 'invalid-argument' });
    },
  );

  it('says which address it cannot have', async () => {
    await using server = await serveNano();
    const port = Number(new URL(server.url).port);
    const found = `127.0.0.1, port ${port} (EADDRINUSE)`;
    await expect(serveNano({ port })).rejects.toMatchObject({ code: 'address-unavailable', found });
  });

  it('that are being loaded make the server unhealthy, and requests wait for them', async () => {
    const gate = createGate();
    const { source } = scriptedModel({ answer: () => 'ok', beforeLoad: () => gate.promise });
    const server = await startServer({ models: [source], port: 0 });
    const health = await fetch(`${server.url}/health`);
    expect([health.status, (await health.json()).status]).toEqual([503, 'loading']);
    const request = post(`${server.url}/v1/completions`, { prompt: 'x' });
    gate.open();
    await server.ready;
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    expect((await request).status).toBe(200);
    await server.close();
  });

  it('that cannot be loaded are 503, and are tried again', async () => {
    let fails = true;
    const { source } = scriptedModel({
      answer: () => 'ok',
      beforeLoad() {
        if (fails) throw new Error('/home/me/secret.gguf');
      },
    });
    const server = await startServer({ models: [source], port: 0 });
    await expect(server.ready).rejects.toThrow();
    const ask = () => post(`${server.url}/v1/completions`, { prompt: 'x' });
    const response = await ask();
    expect(response.status).toBe(503);
    const { error } = await response.json();
    expect(error.code).toBe('model_load_failed');
    expect(JSON.stringify(error)).not.toContain('secret');
    fails = false;
    expect((await ask()).status).toBe(200);
    await server.close();
  });
});

describe('stopping', () => {
  it('lets answers finish, takes no others, and frees the model', async () => {
    const gate = createGate();
    const { server, log, chat } = await serveScript({
      answer: () => 'ok',
      beforeStep: () => gate.promise,
    });
    const request = chat('x');
    await vi.waitFor(() => expect(log.sessions).toBe(1));
    const closed = server.close();
    await expect(chat('y').then(({ status }) => status)).rejects.toThrow();
    gate.open();
    expect((await request).status).toBe(200);
    await closed;
    expect(log.disposals).toBe(1);
  });

  it('aborts what takes too long', async () => {
    const { server, log, chat } = await serveScript(
      { answer: () => 'y'.repeat(3000), beforeStep: () => sleep(5) },
      { limits: { stopMs: 50 } },
    );
    const request = chat('x', { stream: true });
    await vi.waitFor(() => expect(log.tokens).toBeGreaterThan(1));
    await server.close();
    const { events } = await readEvents(await request);
    expect(events.at(-2)?.data).toMatchObject({ error: { code: 'server_stopping' } });
  });
});
