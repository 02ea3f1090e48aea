/** A Redis server of a test's own, on a port of its own of 127.0.0.1: Debian's package, or Valkey's. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface RedisServer extends AsyncDisposable {
  url: string;
  /** Ends the server at once, as a power cut would, and starts it again over what it had written. */
  restart(): Promise<void>;
}

/** The command of the server; undefined where none is installed. */
export const REDIS_COMMAND = ['redis-server', 'valkey-server'].find(
  (command) => spawnSync(command, ['--version']).status === 0,
);

export async function startRedis(): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'keysieve-redis-'));
  const port = await freePort();
  let server: ChildProcess;
  const start = async () => {
    const settings = { port, bind: '127.0.0.1', dir: folder, appendonly: 'yes', appendfsync: 'always', save: '' };
    const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    server = spawn(REDIS_COMMAND as string, options, { stdio: 'ignore' });
    while (!(await answers(port))) await sleep(20);
  };
  const end = async () => {
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    async restart() {
      await end();
      await start();
    },
    async [Symbol.asyncDispose]() {
      await end();
      await rm(folder, { recursive: true });
    },
  };
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString().startsWith('+PONG'));
    });
    socket.once('error', () => resolve(false));
  });

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
