/** Who may call, and what becomes of requests that are none. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scriptedModel } from '../../test/scripted.ts';
import { post, serve, type TestServer } from '../../test/servers.ts';
import { startServer } from '../index.ts';

const { source } = scriptedModel({ answer: () => 'ok' });
const models = [source];
const MESSAGES = [{ role: 'user', content: 'the secret of the user' }];

describe('access', () => {
  it('needs the key where there is one, in either header', async () => {
    await using server = await serve({ models, apiKey: 'key-1' });
    const ask = (headers: Record<string, string>) =>
      post(`${server.url}/v1/chat/completions`, { messages: MESSAGES }, { headers });
    expect((await ask({ Authorization: 'Bearer key-1' })).status).toBe(200);
    expect((await ask({ 'x-api-key': 'key-1' })).status).toBe(200);
    for (const headers of [{}, { Authorization: 'Bearer key-2' }, { Authorization: 'key-1' }, { 'x-api-key': '' }]) {
      const response = await ask(headers as Record<string, string>);
      expect(response.status).toBe(401);
      expect((await response.json()).error).toMatchObject({ type: 'authentication_error', code: 'invalid_api_key' });
    }
    for (const path of ['/v1/models', '/metrics', '/nothing'])
      expect((await fetch(server.url + path)).status).toBe(401);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  it('listens on loopback, and elsewhere only with a key', async () => {
    await using server = await serve({ models });
    expect(new URL(server.url).hostname).toBe('127.0.0.1');
    const open = { models, host: '0.0.0.0', port: 0 };
    await expect(startServer(open)).rejects.toMatchObject({ code: 'invalid-argument', found: '0.0.0.0' });
    await (await startServer({ ...open, apiKey: 'k' })).close();
  });

  it('shows its page without the key, and the page may run nothing but its own', async () => {
    await using server = await serve({ models, apiKey: 'k' });
    const response = await fetch(server.url);
    expect(response.status).toBe(200);
    const html = await response.text();
    const policy = response.headers.get('content-security-policy') ?? '';
    for (const element of ['script', 'style']) {
      const text = new RegExp(`<${element}[^>]*>(.*?)</${element}>`, 's').exec(html)?.[1] as string;
      expect(policy).toContain(`${element}-src 'sha256-${createHash('sha256').update(text).digest('base64')}'`);
    }
    expect(html).not.toMatch(/https?:\/\//);
  });

  it('refuses a Host header that names another machine', async () => {
    await using server = await serve({ models });
    const { port } = new URL(server.url);
    const ask = (host: string) =>
      raw(server.url, `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(await ask(`localhost:${port}`)).toMatch(/^HTTP\/1.1 200/);
    expect(await ask(`evil.example:${port}`)).toMatch(/^HTTP\/1.1 403[\s\S]*host_not_allowed/);
  });

  it('lets pages of this machine call, and no others', async () => {
    await using server = await serve({ models });
    const ask = (origin: string, init: RequestInit = {}) =>
      fetch(`${server.url}/v1/models`, { ...init, headers: { Origin: origin } });
    const local = await ask('http://localhost:3000');
    expect([local.status, local.headers.get('access-control-allow-origin')]).toEqual([200, 'http://localhost:3000']);
    expect((await ask('http://localhost:3000', { method: 'OPTIONS' })).status).toBe(204);
    for (const origin of ['https://evil.example', 'null', 'http://localhost.evil.example']) {
      const foreign = await ask(origin);
      expect([foreign.status, foreign.headers.get('access-control-allow-origin')]).toEqual([403, null]);
    }
    await using listed = await serve({ models, corsOrigins: ['https://chat.example'] });
    const list = (origin: string) => fetch(`${listed.url}/v1/models`, { headers: { Origin: origin } });
    expect((await list('https://chat.example')).status).toBe(200);
    expect((await list('http://localhost:3000')).status).toBe(403);
  });
});

describe('requests that are none', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await serve({ models, limits: { maxBodyBytes: 4096, maxMessages: 3, maxChoices: 2 } });
  });
  afterAll(() => server.close());

  const send = (body: BodyInit, init: RequestInit = {}) =>
    fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'application/json' },
      ...init,
    });
  const chat = (body: object) => send(JSON.stringify({ messages: MESSAGES, ...body }));

  it.each([
    ['no JSON', () => send('{'), 400, 'invalid_json'],
    ['bytes that are not UTF-8', () => send(Buffer.from([0x22, 0xff, 0x22])), 400, 'invalid_json'],
    ['no object', () => send('null'), 400, 'invalid_value'],
    ['another type', () => send('{}', { headers: { 'Content-Type': 'text/plain' } }), 415, 'unsupported_media_type'],
    ['no messages', () => send('{}'), 400, 'invalid_value'],
    ['too many messages', () => chat({ messages: Array(4).fill(MESSAGES[0]) }), 400, 'invalid_value'],
    ['too many answers', () => chat({ n: 3 }), 400, 'invalid_value'],
    ['an image', () => chat({ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }), 400, 'invalid_value'],
    ['a temperature below 0', () => chat({ temperature: -1 }), 400, 'invalid_value'],
    ['a policy that there is not', () => chat({ attention: 'psychic' }), 400, 'invalid_value'],
    ['a budget that is none', () => chat({ budget: 'plenty' }), 400, 'invalid_value'],
    ['a body that is too large', () => chat({ padding: 'x'.repeat(5000) }), 413, 'body_too_large'],
    ['deep nesting', () => send(`${'['.repeat(100)}${']'.repeat(100)}`), 400, 'too_deep'],
    ['another method', () => fetch(`${server.url}/v1/chat/completions`), 405, 'method_not_allowed'],
    ['another path', () => fetch(`${server.url}/v2`), 404, 'not_found'],
    ['embeddings', () => post(`${server.url}/v1/embeddings`, {}), 501, 'not_implemented'],
    ['images', () => post(`${server.url}/v1/images/generations`, {}), 501, 'not_implemented'],
  ])('%s', async (_, ask, status, code) => {
    const response = await ask();
    expect(response.status).toBe(status);
    const { error } = await response.json();
    expect(error).toMatchObject({ message: expect.any(String), type: expect.any(String), code });
    expect(Object.keys(error)).toContain('param');
  });

  it('names the field that is at fault', async () => {
    const response = await chat({ messages: [{ role: 'user', content: [{ type: 'text', text: 5 }] }] });
    expect((await response.json()).error.param).toBe('messages.0.content.0');
  });

  it.each([
    ['nonsense', 'NONSENSE\r\n\r\n', 400],
    ['headers without end', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`, 431],
    ['a bad escape', 'GET /v1/models/%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 404],
  ])('%s on the wire', async (_, text, status) => {
    const answer = await raw(server.url, text);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1))).toHaveProperty('error.code');
  });
});

describe('the log', () => {
  it('has each request and each failure, and nothing of their text', async () => {
    let text = '';
    const sink = new Writable({
      write(chunk, _, done) {
        text += chunk;
        done();
      },
    });
    const failing = scriptedModel({
      answer(prompt) {
        throw new Error(`cannot answer ${prompt}`);
      },
    });
    await using server = await serve({ models: [failing.source], logger: pino({}, sink) });
    expect((await post(`${server.url}/v1/chat/completions`, { messages: MESSAGES })).status).toBe(500);
    await post(`${server.url}/v1/chat/completions?key=secret`, { messages: [{ role: 'user', content: 7 }] });
    expect(text).toContain('"status":500');
    expect(text).toContain('scripted.ts');
    expect(text).not.toContain('secret');
  });
});

/** What the server answers to these bytes, until it closes the connection. */
function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.write(text));
    socket.on('data', (data) => {
      answer += data;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
  });
}
