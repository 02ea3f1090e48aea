/** What reaches the terminal of a server from outside. */
import { PassThrough } from 'node:stream';
import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { type AppVariables, createLogger, logRequests } from './log.ts';

/** C1 controls that clear a screen and set a title, and a mark that turns text around. */
const UNSEEN = '\u009b2J\u009d0 x\u009c\u202e';

describe('the log', () => {
  it('escapes what a client puts into a path, and an error into its message', async () => {
    const stream = new PassThrough();
    const logger = createLogger('info', stream);
    const app = new Hono<{ Variables: AppVariables }>().use(logRequests(logger)).get('*', (c) => c.text('ok'));
    await app.request(`http://127.0.0.1/${encodeURIComponent(UNSEEN)}`);
    logger.error({ message: UNSEEN });
    const lines = String(stream.read());
    expect(lines).not.toMatch(/[\p{Cf}\u0080-\u009f]/u);
    const [request, failure] = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(request.path).toBe(`/${UNSEEN}`);
    expect(failure.message).toBe(UNSEEN);
  });
});
