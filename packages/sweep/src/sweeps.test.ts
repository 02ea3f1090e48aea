/** A sweep over a real Redis, by workers in processes of their own. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  cellsOf,
  defaultFiller,
  evaluateTasks,
  evaluateText,
  measureTexts,
  methodStudyJson,
  registerBaselines,
  runMethodStudy,
} from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { REDIS_COMMAND, type RedisServer, startRedis } from '../test/redis.ts';
import { killWorker, startWorker } from '../test/workers.ts';
import { readSweep } from './plan.ts';
import { openQueues, type Queues } from './queues.ts';
import { serveStatus } from './status-page.ts';
import { cancelSweep, queueSweep, sweepResults, sweepStatus } from './sweeps.ts';

const PLAN = `
models: [nano]
policies: [sieve, quest, window]
budgets: ['fixed:32', 'fixed:64']
prefills: [dense, 'sieve@fixed:64']
text: { files: [licence.txt], lengths: [300], evalTokens: 8, auditTokens: 2, timedSteps: 1 }
tasks: { names: [recall], lengths: [300], depths: 2 }
`;
const LOCK_MS = 2000;

if (REDIS_COMMAND === undefined) console.warn('Skipped: neither redis-server nor valkey-server is installed.');

describe.skipIf(REDIS_COMMAND === undefined)('a sweep', () => {
  let redis: RedisServer;
  let queues: Queues;
  let folder: string;
  const workers: ChildProcess[] = [];
  const start = () => workers.push(startWorker(redis.url, folder, LOCK_MS));
  const plan = async (text: string) => {
    await writeFile(join(folder, 'plan.yaml'), text);
    return readSweep(join(folder, 'plan.yaml'));
  };
  const until = async (id: string, isReached: (status: Awaited<ReturnType<typeof sweepStatus>>) => boolean) => {
    for (;;) {
      const status = await sweepStatus(queues, id);
      if (isReached(status)) return status;
      await sleep(100);
    }
  };

  beforeAll(async () => {
    await registerBaselines();
    redis = await startRedis();
    queues = await openQueues(redis.url);
    folder = await mkdtemp(join(tmpdir(), 'keysieve-sweep-'));
    await writeFile(join(folder, 'licence.txt'), await defaultFiller());
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => killWorker(worker)));
  });
  afterAll(async () => {
    await queues?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  it('gives what single runs give, with a worker that was killed, one that was stopped and a store that was restarted', async () => {
    const sweep = await plan(PLAN);
    const total = sweep.runs.reduce((sum, run) => sum + (cellsOf(run)?.length ?? 0), 0);
    expect(await queueSweep(queues, sweep)).toBe(total);
    // Queued again, a sweep is the same.
    await queueSweep(queues, await plan(PLAN));
    expect((await sweepStatus(queues, sweep.id)).cells).toMatchObject({ total, waiting: total });
    start();
    start();
    await until(sweep.id, ({ cells }) => cells.done >= 2);
    const [first, second] = workers;
    await killWorker(first as ChildProcess);
    second?.kill('SIGSTOP');
    start();
    await until(sweep.id, ({ cells }) => cells.done >= total / 2);
    await redis.restart();
    second?.kill('SIGCONT');
    const { cells, tokens, failed } = await until(sweep.id, (status) => status.cells.done === total);
    expect({ ...cells, failed }).toEqual({ total, done: total, active: 0, waiting: 0, failed: [], missing: 0 });
    expect(tokens.done).toBe(tokens.total);

    const results = await sweepResults(queues, sweep.id);
    await using model = await loadModel('nano', { precision: 'fp32', threads: 1 });
    const policies = ['sieve', 'quest', 'window'].flatMap((policy) =>
      ['fixed:32', 'fixed:64'].map((budget) => ({ policy, budget })),
    );
    const shared = { model, policies, prefills: [{ policy: 'dense' }, { policy: 'sieve', budget: 'fixed:64' }] };
    const text = { name: 'licence.txt', content: await defaultFiller() };
    const single = [
      await evaluateText({ ...shared, text, tokens: 300, evalTokens: 8, auditTokens: 2, timedSteps: 0 }),
      await evaluateTasks({ ...shared, tasks: ['recall'], lengths: [300], depths: 2 }),
    ];
    const timeless = (result: unknown) => JSON.stringify({ ...(result as object), times: null });
    expect(results.map(({ result }) => timeless(result))).toEqual(single.map(timeless));
    expect(results[0]?.result).toMatchObject({ times: { machine: { threads: 1 } } });
  });

  it('of laws and methods gives what single runs give', async () => {
    const sweep = await plan(`
models: [nano]
measure: { files: [licence.txt], tokens: 2048, lengths: [512, 1024, 2048], samples: 4 }
methods: { names: [surprise, one-pass] }
`);
    expect(await queueSweep(queues, sweep)).toBe(3);
    start();
    await until(sweep.id, ({ cells }) => cells.done === 3);
    const [law, methods] = (await sweepResults(queues, sweep.id)).map(({ result }) => result);
    await using model = await loadModel('nano', { precision: 'fp32', threads: 1 });
    const texts = [{ name: 'licence.txt', content: await defaultFiller() }];
    const measured = await measureTexts({ model, texts, tokens: 2048, lengths: [512, 1024, 2048], samples: 4 });
    expect(JSON.stringify((law as typeof measured).law)).toBe(JSON.stringify(measured.law));
    const study = await runMethodStudy({ captures: [], methods: ['surprise', 'one-pass'], seed: 1 });
    expect(JSON.stringify(methods)).toBe(JSON.stringify(methodStudyJson(study)));
  });

  it('sets a cell aside that nothing can compute, says why on its page, and can be taken out', async () => {
    const sweep = await plan(`
models: [nano]
policies: [dense]
tasks: { names: [variables], lengths: [100], samples: 2 }
`);
    expect(await queueSweep(queues, sweep)).toBe(2);
    start();
    const { failed } = await until(sweep.id, ({ cells }) => cells.failed === 2);
    expect(failed[0]).toMatchObject({ tries: 1, error: expect.stringContaining('[invalid-argument]') });
    await using page = await serveStatus(queues, sweep.id, 0);
    const html = await (await fetch(page.url)).text();
    expect(html).toContain('Set aside');
    expect(html).toContain('does not fit');
    expect(await cancelSweep(queues, sweep.id)).toBe(2);
    expect((await sweepStatus(queues, sweep.id)).cells).toMatchObject({ total: 2, failed: 0, missing: 2 });
    expect((await sweepResults(queues, sweep.id)).map(({ result }) => result)).toEqual([null]);
  });

  it('is refused where nothing answers, where no queue can be, and where it was never queued', async () => {
    await expect(sweepStatus(queues, 'none')).rejects.toMatchObject({ code: 'sweep-not-found' });
    await expect(openQueues('mysql://127.0.0.1')).rejects.toMatchObject({ code: 'queue-unsupported' });
    await expect(openQueues('redis://127.0.0.1:1')).rejects.toMatchObject({ code: 'queue-unreachable' });
  });
});
