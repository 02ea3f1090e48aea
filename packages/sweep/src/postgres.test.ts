/** A sweep over a real PostgreSQL, on a port of its own of 127.0.0.1. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../test/redis.ts';
import { killWorker, startWorker } from '../test/workers.ts';
import { readSweep } from './plan.ts';
import { openQueues } from './queues.ts';
import { queueSweep, sweepResults, sweepStatus } from './sweeps.ts';

const ROOT = '/usr/lib/postgresql';
const [VERSION] = existsSync(ROOT) ? readdirSync(ROOT).reverse() : [];
/** PostgreSQL does not run as root: Debian's package brings a user for it. */
const postgres = (command: string) => spawnSync('su', ['postgres', '-c', command], { encoding: 'utf8' });
const isInstalled = VERSION !== undefined && process.getuid?.() === 0 && postgres('true').status === 0;
if (!isInstalled) console.warn('Skipped: PostgreSQL is not installed, or this is not root.');

describe.skipIf(!isInstalled)('a sweep over PostgreSQL', () => {
  const program = `${ROOT}/${VERSION}/bin`;
  let folder: string;
  let data: string;
  let url: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-sweep-'));
    data = postgres('mktemp -d').stdout.trim();
    const port = await freePort();
    const made = postgres(
      `${program}/initdb -D ${data} -A trust && ` +
        `${program}/pg_ctl -D ${data} -o '-p ${port} -h 127.0.0.1 -k ${data}' -l ${data}/log -w start`,
    );
    if (made.status !== 0) throw new Error(made.stderr);
    url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  });
  afterAll(async () => {
    postgres(`${program}/pg_ctl -D ${data} -m immediate stop; rm -r ${data}`);
    await rm(folder, { recursive: true });
  });

  it('is computed as over Redis', async () => {
    const plan = 'models: [nano]\npolicies: [dense]\ntasks: { names: [recall], lengths: [300], depths: 2 }\n';
    await writeFile(join(folder, 'plan.yaml'), plan);
    const sweep = await readSweep(join(folder, 'plan.yaml'));
    await using queues = await openQueues(url);
    expect(await queueSweep(queues, sweep)).toBe(2);
    const worker = startWorker(url, folder, 2000);
    while ((await sweepStatus(queues, sweep.id)).cells.done < 2) await sleep(100);
    await killWorker(worker);
    const [run] = await sweepResults(queues, sweep.id);
    expect(run?.result).toMatchObject({ policies: [{ policy: 'dense', prompts: 2, right: 2 }] });
  });
});
