/** The header that a balancer may route by. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scriptedModel } from '../../test/scripted.ts';
import { post, serve, type TestServer } from '../../test/servers.ts';
import { PREFIX_HEADER } from './prefix-header.ts';

const TEXT = Array.from({ length: 3000 }, (_, i) => String.fromCharCode(97 + ((i * i) % 26))).join('');

describe('the header of the prefix', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await serve({ models: [scriptedModel({ answer: () => 'ok' }).source] });
  });
  afterAll(() => server.close());

  const headerOf = async (path: string, body: object) =>
    (await post(server.url + path, { max_tokens: 1, ...body })).headers.get(PREFIX_HEADER);
  const completion = (prompt: string) => headerOf('/v1/completions', { prompt });
  const messages = (content: string) => ({ messages: [{ role: 'user', content }] });

  it('is the same on every route, streamed or not, and where tokens are only counted', async () => {
    const content = TEXT.slice(0, 200);
    const expected = await completion(content);
    expect(expected).toMatch(/^[0-9a-f]{32}$/);
    for (const [path, body] of [
      ['/v1/completions', { prompt: content, stream: true }],
      ['/v1/chat/completions', messages(content)],
      ['/v1/chat/completions', { ...messages(content), stream: true, attention: 'dense' }],
      ['/v1/messages', messages(content)],
      ['/v1/messages', { ...messages(content), stream: true }],
      ['/v1/messages/count_tokens', messages(content)],
      ['/v1/responses', { input: content }],
      ['/v1/responses', { input: content, stream: true }],
    ] as const) {
      expect(await headerOf(path, body), path).toBe(expected);
    }
  });

  it('is a hash of 64, 128, ... 1,024 tokens, as anyone can compute it', async () => {
    const { tokens } = await (await post(`${server.url}/tokenize`, { content: TEXT })).json();
    for (const [length, counted] of [
      [64, 64],
      [127, 64],
      [300, 256],
      [1100, 1024],
      [3000, 1024],
    ] as const) {
      const bytes = Buffer.alloc(4 * counted);
      for (let i = 0; i < counted; i++) bytes.writeUInt32LE(tokens[i], 4 * i);
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
      expect(await completion(TEXT.slice(0, length)), `${length} tokens`).toBe(hash);
    }
  });

  it('is absent where there is no prompt, or a short one', async () => {
    expect(await completion(TEXT.slice(0, 63))).toBeNull();
    expect((await fetch(`${server.url}/v1/models`)).headers.get(PREFIX_HEADER)).toBeNull();
  });

  it('may be read and sent by pages of this machine', async () => {
    const headers = { Origin: 'http://localhost:3000', 'Access-Control-Request-Headers': PREFIX_HEADER };
    const preflight = await fetch(`${server.url}/v1/completions`, { method: 'OPTIONS', headers });
    expect(preflight.headers.get('access-control-allow-headers')).toContain(PREFIX_HEADER);
    const { headers: answered } = await fetch(`${server.url}/v1/models`, { headers: { Origin: headers.Origin } });
    expect(answered.get('access-control-expose-headers')).toContain(PREFIX_HEADER);
  });
});
