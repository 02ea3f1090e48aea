/**
 * Holds sweeps to what is promised of them, on a Redis of its own: `npm run check:sweep`. Sixty cells over four workers,
 * which are killed at random moments while the store is restarted and one of them stopped, give the numbers of single
 * runs; and it prints what queueing costs. `npm run check:sweep -- KILLS` takes another number of kills than thirty.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cellsOf, defaultFiller, evaluateText, registerBaselines } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';
import { openQueues, planSweep, queueSweep, sweepResults, sweepStatus } from '@keysieve/sweep';
import { startRedis } from '../packages/sweep/test/redis.ts';
import { killWorker, startWorker } from '../packages/sweep/test/workers.ts';

const KILLS = Number(process.argv[2] ?? 30);
const WORKERS = 4;
const LOCK_MS = 3000;
const STOPPED_MS = 60_000;
const CELL_MS = 10_000;
const MANY = 10_000;

const shared = { precision: 'fp32', threads: 1, seeds: [1] };
const text = { files: ['licence.txt'], offset: 0, evalTokens: 16, auditTokens: 4, timedSteps: 0 };
const policies = ['sieve', 'quest', 'snapkv', 'window', 'topk'];
const budgets = ['fixed:32', 'fixed:64', 'fixed:128'];
const SIXTY = {
  ...shared,
  models: ['nano'],
  policies,
  budgets,
  prefills: ['dense', 'sieve@fixed:64'],
  text: { ...text, lengths: [600, 900] },
};

const folder = await mkdtemp(join(tmpdir(), 'keysieve-check-'));
await writeFile(join(folder, 'licence.txt'), await defaultFiller());
await registerBaselines();
const redis = await startRedis();
const queues = await openQueues(redis.url);
try {
  await chaos();
  await overhead();
  await many();
} finally {
  await queues[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
}

async function chaos() {
  const sweep = await planSweep(SIXTY, folder);
  const total = await queueSweep(queues, sweep);
  const workers = Array.from({ length: WORKERS }, () => startWorker(redis.url, folder, LOCK_MS));
  const started = performance.now();
  const statusOf = () => sweepStatus(queues, sweep.id).catch(() => undefined);
  let kills = 0;
  let done = 0;
  const stopped = startWorker(redis.url, folder, LOCK_MS);
  for (const kill of Array.from({ length: KILLS }).keys()) {
    // Kills are spread over the whole sweep, however slow the machine is, and fall at random within it.
    while (((await statusOf())?.cells.done ?? 0) < (0.9 * kill * total) / KILLS) await sleep(100);
    await sleep(2000 * Math.random());
    const victim = kill % WORKERS;
    await killWorker(workers[victim]);
    workers[victim] = startWorker(redis.url, folder, LOCK_MS);
    kills++;
    if (kill === 2) stopped.kill('SIGSTOP');
    if (kill === Math.floor(KILLS / 3) || kill === Math.floor((2 * KILLS) / 3)) await redis.restart();
    done = (await statusOf())?.cells.done ?? done;
  }
  const pause = STOPPED_MS - (performance.now() - started);
  if (pause > 0) await sleep(pause);
  stopped.kill('SIGCONT');
  let status = await statusOf();
  while (status === undefined || status.cells.done + status.cells.failed < total) {
    await sleep(200);
    status = await statusOf();
  }
  // What the stopped worker had in hand when it lost it may still come in, and must change nothing.
  await sleep(2 * LOCK_MS);
  await Promise.all([...workers, stopped].map((worker) => killWorker(worker)));
  assert.deepEqual(status.failed, []);
  const results = await sweepResults(queues, sweep.id);
  const model = await loadModel('nano', { precision: 'fp32', threads: 1 });
  const single = [];
  for (const tokens of [600, 900]) {
    single.push(
      await evaluateText({
        model,
        text: { name: 'licence.txt', content: await defaultFiller() },
        tokens,
        evalTokens: 16,
        auditTokens: 4,
        timedSteps: 0,
        policies: policies.flatMap((policy) => budgets.map((budget) => ({ policy, budget }))),
        prefills: [{ policy: 'dense' }, { policy: 'sieve', budget: 'fixed:64' }],
      }),
    );
  }
  await model.dispose();
  assert.equal(JSON.stringify(results.map(({ result }) => result)), JSON.stringify(single));
  const rows = results.reduce((sum, { result }) => sum + result.policies.length, 0);
  console.log(
    `${total} cells over ${WORKERS} workers and one more, ${kills} kills (${done} cells done by the last), 2 restarts of the store, ` +
      `the one more stopped for ${Math.round((performance.now() - started) / 1000)} s at most: ${rows} rows, equal to single runs byte for byte`,
  );
}

/** Time that the store and the queue take of a cell, from taking it to having stored its result, without computing it. */
async function overhead() {
  const jobs = 200;
  const value = 'x'.repeat(20_000);
  const queue = queues.cells['keysieve-cells'];
  const started = performance.now();
  await queue.addBulk(
    Array.from({ length: jobs }, (_, i) => ({
      name: 'cell',
      data: { sweep: 'none', run: 0, cell: i, tokens: 1 },
      opts: { jobId: `overhead-${i}` },
    })),
  );
  let left = jobs;
  await new Promise((resolve) => {
    const worker = queues.work(
      'keysieve-cells',
      async (_, report) => {
        await report(1);
        return value;
      },
      { concurrency: 1 },
    );
    worker.on('completed', async () => {
      left--;
      if (left > 0) return;
      await worker.close();
      resolve();
    });
  });
  const ms = (performance.now() - started) / jobs;
  console.log(
    `queueing, taking and storing a cell with 20 kB: ${ms.toFixed(1)} ms, ${((100 * ms) / CELL_MS).toFixed(3)} % of ${CELL_MS / 1000} s`,
  );
}

/** Plans and queues ten thousand cells, and looks at the memory half way and at the end. */
async function many() {
  const lengths = Array.from({ length: MANY / 50 }, (_, i) => 400 + 10 * i);
  const tenBudgets = Array.from({ length: 10 }, (_, i) => `fixed:${16 + 16 * i}`);
  const before = process.memoryUsage().rss;
  const cpu = process.cpuUsage();
  const started = performance.now();
  const sweep = await planSweep(
    { ...shared, models: ['nano'], policies, budgets: tenBudgets, prefills: ['dense'], text: { ...text, lengths } },
    folder,
  );
  const planned = performance.now();
  const count = await queueSweep(queues, sweep);
  const queued = performance.now();
  const { user, system } = process.cpuUsage(cpu);
  assert.equal(
    count,
    sweep.runs.reduce((sum, run) => sum + cellsOf(run).length, 0),
  );
  const growth = (process.memoryUsage().rss - before) / 2 ** 20;
  console.log(
    `${count} cells planned in ${((planned - started) / 1000).toFixed(1)} s and queued in ${((queued - planned) / 1000).toFixed(1)} s ` +
      `(of the processor ${((user + system) / 1e6).toFixed(1)} s), memory ${growth.toFixed(0)} MiB more`,
  );
}
