import { afterEach, describe, expect, it } from 'vitest';
import {
  BEHAVIOUR,
  countTask,
  createCountingJob,
  createCounts,
  openCounts,
  spawnCounting,
  writeCountingJob,
} from '../../test/counting.ts';
import { expectError, expectRejection } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { MAX_HELPERS, MAX_JOB_TASKS } from './control.ts';
import { createThreadPool, type JobThreads, type PoolOptions } from './pool.ts';
import type { Thread } from './thread.ts';

let joined: JobThreads[] = [];

afterEach(async () => {
  await Promise.all(joined.map((threads) => threads.leave()));
  joined = [];
});

/** A pool of counting threads, and those of them that have begun to listen. */
function createPool(options: Partial<PoolOptions> = {}) {
  const started: Thread[] = [];
  const pool = createThreadPool({
    async spawn(spawnOptions) {
      const thread = await spawnCounting({
        ...spawnOptions,
        onMessage(message) {
          if (message === 'listening') started.push(thread);
          spawnOptions.onMessage(message);
        },
      });
      return thread;
    },
    ...options,
  });
  return { pool, started };
}

/** An owner of counting jobs on a pool, and functions that run some. */
async function createCounting(
  threads: number,
  options: Partial<PoolOptions> = {},
  { pool, started } = createPool(options),
) {
  const [countsBuffer, jobBuffer] = [createCounts(), createCountingJob()];
  const counts = openCounts(countsBuffer);
  const numbers = new Float64Array(jobBuffer);
  const jobThreads = await pool.join(threads);
  joined.push(jobThreads);
  let job = 0;
  const configure = (failsToOpen = false) =>
    jobThreads.configure((thread) => ({ counts: countsBuffer, job: jobBuffer, thread, failsToOpen }));
  configure();
  const run = (tasks: number, behaviour: number = BEHAVIOUR.count, before: (task: number) => void = () => {}) => {
    job++;
    writeCountingJob(numbers, job, behaviour);
    jobThreads.run(tasks, (task) => {
      before(task);
      countTask(numbers, counts, task, 0);
    });
  };
  const helped = () => counts.threads.subarray(1).reduce((sum, n) => sum + n, 0);
  /** Runs a job of which both a helper and the owner have a task: neither goes on before the other has taken one. */
  const runWithHelper = (behaviour: number, before: () => void = () => {}) => {
    const already = helped();
    const release = () => {
      Atomics.store(counts.paused, 0, 0);
      Atomics.notify(counts.paused, 0);
    };
    Atomics.store(counts.paused, 0, 1);
    run(50, behaviour, () => {
      // The message with the setup may be on its way.
      while (helped() === already) sleep(1);
      release();
      before();
    });
  };
  return { pool, started, jobThreads, counts, configure, run, runWithHelper, helped };
}

const sleep = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

describe('a job', () => {
  it('is done task by task, each once, in 20,000 jobs on three threads', async () => {
    const { counts, run, runWithHelper, configure } = await createCounting(3);
    const random = createRandom(1);
    const expected = new Int32Array(counts.tasks.length);
    for (let job = 0; job < 20_000; job++) {
      const tasks = random.below(12);
      // Now and then the owner is slow, and the helpers come first.
      const steps = job % 4 === 0 ? random.below(500) : 0;
      run(tasks, BEHAVIOUR.count, () => {
        for (let i = 0; i < steps; i++) Atomics.load(counts.torn, 0);
      });
      for (let task = 0; task < tasks; task++) expected[task] = (expected[task] as number) + 1;
      // Found at once, so that the job is known.
      for (let task = 0; task < 12; task++) {
        if (counts.tasks[task] !== expected[task]) expect.fail(`job ${job} of ${tasks}: task ${task}`);
      }
      // Threads that have gone to look for a message, or come back from it, are another thing to get right.
      if (job % 500 === 499) configure();
    }
    runWithHelper(BEHAVIOUR.count);
    for (let task = 0; task < 50; task++) expected[task] = (expected[task] as number) + 1;
    expect(counts.tasks).toEqual(expected);
    expect(counts.torn[0]).toBe(0);
    expect(counts.threads.reduce((sum, n) => sum + n, 0)).toBe(expected.reduce((sum, n) => sum + n, 0));
  });

  it('may be announced, also when none comes for longer than the helpers stay awake', async () => {
    const { jobThreads, counts, run, runWithHelper } = await createCounting(2);
    for (let round = 0; round < 20; round++) {
      jobThreads.prewake(3);
      sleep(round % 4);
      run(5);
    }
    expect(counts.tasks.subarray(0, 5)).toEqual(new Int32Array(5).fill(20));
    jobThreads.prewake(1);
    sleep(5);
    runWithHelper(BEHAVIOUR.count);
  });

  it('may have as many tasks as there are claims, and none at all, but not more', async () => {
    const { counts, run } = await createCounting(2);
    for (const tasks of [MAX_JOB_TASKS, 0, MAX_JOB_TASKS]) run(tasks);
    expect(counts.tasks).toEqual(new Int32Array(MAX_JOB_TASKS).fill(2));
    expect(() => run(MAX_JOB_TASKS + 1)).toThrow(RangeError);
  });

  it('is done by its owner alone where there are no helpers', async () => {
    const { pool } = createPool({ spawn: () => expect.fail('there is no helper') });
    const threads = await pool.join(1);
    const done: number[] = [];
    threads.configure(() => expect.fail('there is no helper'));
    threads.run(3, (task) => done.push(task));
    expect(done).toEqual([0, 1, 2]);
    const fail = () => {
      throw new Error('here');
    };
    expect(() => threads.run(2, fail)).toThrow('here');
    await threads.leave();
  });

  it('is shared: helpers do tasks, after the first configuration and after the next', async () => {
    const { counts, configure, runWithHelper } = await createCounting(3);
    runWithHelper(BEHAVIOUR.count);
    const first = (counts.threads[1] as number) + (counts.threads[2] as number);
    expect(first).toBeGreaterThan(0);
    configure();
    runWithHelper(BEHAVIOUR.count);
    expect((counts.threads[1] as number) + (counts.threads[2] as number)).toBeGreaterThan(first);
  });
});

describe('a task that throws', () => {
  it('in a helper, is thread-failed with its reason, and the next job is done', async () => {
    const { counts, run, runWithHelper } = await createCounting(3);
    for (let i = 0; i < 3; i++) {
      const error = expectError('thread-failed', () => runWithHelper(BEHAVIOUR.throw));
      expect(error.found).toMatch(/^Error: task \d+ of thread [12] cannot be done$/);
      run(20);
    }
    expect(counts.tasks[0]).toBe(6);
  });

  it('in the owner, is thrown as it is, and the next job is done', async () => {
    const { run, runWithHelper, counts } = await createCounting(2);
    for (const behaviour of [BEHAVIOUR.count, BEHAVIOUR.throw]) {
      const fail = () => {
        throw new TypeError('not this one');
      };
      // What throws in a helper at the same time is not kept for the next job either.
      expect(() => runWithHelper(behaviour, fail)).toThrow('not this one');
      const before = counts.tasks[0] as number;
      run(20);
      expect(counts.tasks[0]).toBe(before + 1);
    }
  });
});

describe('a helper that', () => {
  it('hangs, is given up after a while and replaced', async () => {
    const { started, runWithHelper } = await createCounting(2, { stallTimeoutMs: 300 });
    expect(expectError('thread-failed', () => runWithHelper(BEHAVIOUR.hang)).found).toBe('no progress for 300 ms');
    await replaced(started, 2);
    runWithHelper(BEHAVIOUR.count);
  });

  it('dies with a task in hand, is noticed long before it would count as hanging, and replaced', async () => {
    const { started, run, runWithHelper, helped } = await createCounting(3, { stallTimeoutMs: 1e9 });
    expect(expectError('thread-failed', () => runWithHelper(BEHAVIOUR.die)).found).toContain('ended in the middle');
    // Whoever is left does the next job.
    const before = helped();
    run(20);
    await replaced(started, 3);
    runWithHelper(BEHAVIOUR.count);
    expect(helped()).toBeGreaterThan(before);
  });

  it('dies while it has nothing to do, is replaced', async () => {
    const { started, run, runWithHelper } = await createCounting(2);
    runWithHelper(BEHAVIOUR.count);
    await started[0]?.terminate();
    await replaced(started, 2);
    run(10);
    runWithHelper(BEHAVIOUR.count);
  });

  it('dies again and again, is not replaced without end, and its owner works alone', async () => {
    const { started, run, runWithHelper, counts } = await createCounting(2);
    for (let deaths = 1; deaths <= 5; deaths++) {
      await replaced(started, deaths);
      expectError('thread-failed', () => runWithHelper(BEHAVIOUR.die));
    }
    const before = counts.tasks[0] as number;
    run(20);
    expect(counts.tasks[0]).toBe(before + 1);
    expect(started).toHaveLength(5);
  });

  it('does not start, fails who joins, and none is left running', async () => {
    let ended = 0;
    let attempts = 0;
    const { pool } = createPool({
      async spawn(options) {
        attempts++;
        if (attempts === 2) throw new Error('no more threads');
        const thread = await spawnCounting(options);
        return {
          ...thread,
          terminate() {
            ended++;
            return thread.terminate();
          },
        };
      },
    });
    const error = await expectRejection('thread-failed', pool.join(3));
    expect(error.found).toContain('no more threads');
    expect([ended, pool.helpers]).toEqual([1, 0]);
  });

  it('cannot open a setup, fails the jobs of its owner alone', async () => {
    const one = await createCounting(2);
    const other = await createCounting(2, {}, one);
    other.configure(true);
    // Behind the setup that fails, so that it has been tried when this one is there.
    one.configure();
    one.runWithHelper(BEHAVIOUR.count);
    expect(expectError('thread-failed', () => other.run(1)).found).toContain('cannot be opened');
    other.configure();
    other.runWithHelper(BEHAVIOUR.count);
  });
});

/** Until a pool has started a number of helpers, all in all, and has told the last of them of its owners. */
async function replaced(started: readonly Thread[], count: number): Promise<void> {
  while (started.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 0));
}

describe('several owners', () => {
  it('share the threads of one pool, each with its own jobs', async () => {
    const first = await createCounting(3);
    const others = [
      await createCounting(2, {}, first),
      await createCounting(4, {}, first),
      await createCounting(1, {}, first),
    ];
    expect([first.pool.helpers, first.started.length]).toEqual([3, 3]);
    for (let round = 0; round < 20; round++) {
      for (const { run } of [first, ...others]) run(10);
    }
    for (const each of [first, ...others.slice(0, 2)]) each.runWithHelper(BEHAVIOUR.count);
    for (const { counts } of [first, ...others]) {
      expect(counts.tasks.subarray(0, 10)).toEqual(new Int32Array(10).fill(counts.tasks[0] as number));
      expect(counts.tasks[0]).toBeGreaterThanOrEqual(20);
      expect(counts.torn[0]).toBe(0);
    }
    // Those who asked for fewer threads are helped by no more.
    expect(others[0]?.counts.threads.subarray(2)).toEqual(new Int32Array(6));
    expect(others[2]?.helped()).toBe(0);
  });

  it('come and go without a thread for each', async () => {
    const first = await createCounting(2);
    for (let i = 0; i < 50; i++) {
      const other = await createCounting(2, {}, first);
      other.run(4);
      await other.jobThreads.leave();
      await other.jobThreads.leave();
    }
    expect([first.pool.helpers, first.started.length]).toEqual([1, 1]);
    first.runWithHelper(BEHAVIOUR.count);
    await first.jobThreads.leave();
    expect(first.pool.helpers).toBe(0);
    const again = await createCounting(2, {}, first);
    again.runWithHelper(BEHAVIOUR.count);
    expect(first.started).toHaveLength(2);
  });

  it('may be any number, but not their threads', async () => {
    const { pool } = createPool({ spawn: () => expect.fail('none is started') });
    await expectRejection('invalid-argument', pool.join(MAX_HELPERS + 2));
  });
});
