/** Servers for tests: on nano, whose chats are the texts of their messages one after the other, and on scripted models. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { localModel, type ServerOptions, startServer } from '../src/index.ts';

const NANO = fileURLToPath(new URL('../../../models/nano/nano.gguf', import.meta.url));

/** Messages as they are: nano goes on from text, and knows no roles. */
export const PLAIN_TEMPLATE = '{% for message in messages %}{{ message.content }}{% endfor %}';

export interface TestServer extends AsyncDisposable {
  url: string;
  close(): Promise<void>;
}

/** A server on a free port. */
export async function serve(options: ServerOptions): Promise<TestServer> {
  const server = await startServer({ port: 0, ...options });
  await server.ready;
  return { url: server.url, close: () => server.close(), [Symbol.asyncDispose]: () => server.close() };
}

/** A server on nano, dense and exact unless told otherwise. */
export async function serveNano(
  options: Partial<ServerOptions> = {},
  { template = PLAIN_TEMPLATE, context = 4096 } = {},
): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), 'keysieve-server-'));
  const path = join(folder, 'nano.gguf');
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  await symlink(NANO, path);
  await writeFile(join(folder, 'chat_template.jinja'), template);
  const server = await serve({
    models: [localModel('nano', path, { context, precision: 'fp32', threads: 2 })],
    attention: { policy: 'dense' },
    ...options,
  }).catch(async (error) => {
    await removeFolder();
    throw error;
  });
  const close = async () => {
    await server.close();
    await removeFolder();
  };
  return { url: server.url, close, [Symbol.asyncDispose]: close };
}

/** A server on nano in a process of its own. Its end is that of `kill -9`. */
export interface ServerProcess extends AsyncDisposable {
  url: string;
  kill(): Promise<void>;
}

export async function spawnNano(options: Partial<ServerOptions> = {}): Promise<ServerProcess> {
  const program = fileURLToPath(new URL('serve-nano.ts', import.meta.url));
  const node = ['--conditions', 'keysieve-source', '--import', import.meta.resolve('tsx')];
  // What it leaves behind is removed with the folder.
  const folder = await mkdtemp(join(tmpdir(), 'keysieve-process-'));
  const child = spawn(process.execPath, [...node, program, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  const ended = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const [line] = await Promise.race([once(child.stdout, 'data'), ended]);
  if (child.exitCode === null) return { url: String(line).trim(), kill, [Symbol.asyncDispose]: kill };
  await kill();
  throw new Error(`the server ended with ${line}`);
}

/** A prompt that nano goes on from with the digits of `code`. */
export const recallPrompt = (code: string, repetitions = 3): string =>
  `${`The number of amber fox is ${code}. `.repeat(repetitions)}The number of amber fox is `;

/** The events of a stream: data parsed where it is JSON, comments apart. */
export interface StreamEvents {
  events: { event: string | undefined; data: unknown }[];
  comments: string[];
}

export async function readEvents(response: Response): Promise<StreamEvents> {
  const events: StreamEvents['events'] = [];
  const comments: string[] = [];
  for (const block of (await response.text()).split('\n\n')) {
    if (block === '') continue;
    if (block.startsWith(':')) {
      comments.push(block.slice(1).trim());
      continue;
    }
    const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s) as [string, string]));
    const data = fields.get('data') as string;
    events.push({ event: fields.get('event'), data: data === '[DONE]' ? data : JSON.parse(data) });
  }
  return { events, comments };
}

export const post = (url: string, body: unknown, init: RequestInit = {}): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    body: JSON.stringify(body),
    ...init,
    headers: { 'Content-Type': 'application/json', ...(init.headers as Record<string, string>) },
  });
