/** `keysieve sweep` and `keysieve worker` as a user calls them, over a real Redis. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REDIS_COMMAND, type RedisServer, startRedis } from '../../../sweep/test/redis.ts';
import { keysieve } from '../../test/keysieve.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

describe.skipIf(REDIS_COMMAND === undefined)('keysieve sweep', () => {
  let redis: RedisServer;
  let folder: string;
  const file = (name: string) => join(folder, name);
  beforeAll(async () => {
    redis = await startRedis();
    folder = await mkdtemp(join(tmpdir(), 'keysieve-sweep-'));
  });
  afterAll(async () => {
    await redis?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  it('queues a plan, which a worker computes until it is interrupted, and gives the results', async () => {
    const text = 'models: [nano]\npolicies: [dense]\ntasks: { names: [recall], lengths: [300], depths: 2 }\n';
    await writeFile(file('plan.yaml'), text);
    const queue = ['--queue', redis.url];
    const queued = await keysieve(['sweep', file('plan.yaml'), ...queue]);
    const id = queued.stdout.trim();
    expect([queued.code, id]).toEqual([0, expect.stringMatching(/^[0-9a-f]{12}$/)]);
    const node = ['--conditions', 'keysieve-source', '--import', import.meta.resolve('tsx'), MAIN];
    const worker = spawn(process.execPath, [...node, 'worker', ...queue, '--models', folder], { stdio: 'ignore' });
    const statusOf = async () => JSON.parse((await keysieve(['sweep', 'status', id, ...queue, '--json'])).stdout);
    while ((await statusOf()).cells.done < 2) await sleep(100);
    const ended = once(worker, 'exit');
    worker.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    expect((await keysieve(['sweep', 'results', id, ...queue, '--save', file('results.json')])).code).toBe(0);
    const { runs } = JSON.parse(await readFile(file('results.json'), 'utf8'));
    expect(runs[0].result.policies[0]).toMatchObject({ policy: 'dense', prompts: 2, score: 1 });
  });

  it('says what is wrong with a plan before it queues anything', async () => {
    await writeFile(file('bad.yaml'), 'models: [nano]\npolicies: [telepathy]\ntext: { files: [a], lengths: [9] }\n');
    const { code, stdout, stderr } = await keysieve(['sweep', file('bad.yaml'), '--queue', redis.url]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('telepathy');
  });
});
