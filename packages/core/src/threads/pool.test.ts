import { afterEach, describe, expect, it } from 'vitest';
import {
  BEHAVIOUR,
  COUNTING_ARGUMENTS,
  countTask,
  createCounts,
  openCounts,
  spawnCounting,
  writeCountingJob,
} from '../../test/counting.ts';
import { expectError, expectRejection } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { createControlBuffer, MAX_JOB_TASKS, openControl } from './control.ts';
import { createThreadPool, type ThreadPool } from './pool.ts';

let pools: ThreadPool[] = [];

afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.dispose()));
  pools = [];
});

/** A pool of counting threads, and a function that runs a job on it. */
async function createCounting(threads: number, options: { stallTimeoutMs?: number } = {}) {
  const buffer = createControlBuffer(true, COUNTING_ARGUMENTS);
  const control = openControl(buffer);
  const countsBuffer = createCounts();
  const counts = openCounts(countsBuffer);
  const pool = await createThreadPool({ control, threads, spawn: spawnCounting, ...options });
  pools.push(pool);
  let configuration = 0;
  let job = 0;
  const configure = () => {
    configuration++;
    pool.configure(configuration, (thread) => ({ configuration, control: buffer, counts: countsBuffer, thread }));
  };
  configure();
  const run = (tasks: number, behaviour: number = BEHAVIOUR.count, before: (task: number) => void = () => {}) => {
    job++;
    writeCountingJob(control, job, behaviour);
    runJob(pool, configuration, tasks, (task) => {
      before(task);
      countTask(control, counts, task, 0);
    });
  };
  /** Runs a job of which both a helper and the owner have a task: neither goes on before the other has taken one. */
  const runWithHelper = (behaviour: number, before: () => void = () => {}) => {
    const taken = () => counts.threads.subarray(1).reduce((sum, n) => sum + n, 0);
    const already = taken();
    const release = () => {
      Atomics.store(counts.paused, 0, 0);
      Atomics.notify(counts.paused, 0);
    };
    Atomics.store(counts.paused, 0, 1);
    run(50, behaviour, () => {
      // The message with the setup may be on its way.
      for (let waited = 0; taken() === already && waited < 20_000; waited += 5) sleep(5);
      release();
      before();
    });
  };
  return { pool, counts, configure, run, runWithHelper };
}

/** Does a job as its owner does it. */
function runJob(pool: ThreadPool, configuration: number, tasks: number, runTask: (task: number) => void): void {
  pool.publish(tasks);
  let failure: { error: unknown } | undefined;
  for (let task = pool.claim(configuration); task !== undefined; task = pool.claim(configuration)) {
    try {
      if (failure === undefined) runTask(task);
    } catch (error) {
      failure = { error };
    }
    pool.finish();
  }
  pool.settle(tasks, failure);
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
    const { pool, counts, run, runWithHelper } = await createCounting(2);
    for (let round = 0; round < 20; round++) {
      pool.prewake();
      sleep(round % 4);
      run(5);
    }
    expect(counts.tasks.subarray(0, 5)).toEqual(new Int32Array(5).fill(20));
    pool.prewake();
    sleep(5);
    runWithHelper(BEHAVIOUR.count);
  });

  it('may have as many tasks as there are claims, and none at all, but not more', async () => {
    const { counts, run } = await createCounting(2);
    for (const tasks of [MAX_JOB_TASKS, 0, MAX_JOB_TASKS]) run(tasks);
    expect(counts.tasks).toEqual(new Int32Array(MAX_JOB_TASKS).fill(2));
    expect(() => run(MAX_JOB_TASKS + 1)).toThrow(RangeError);
  });

  it('is done by its owner alone where there are no helpers, on memory that is not shared', async () => {
    const control = openControl(createControlBuffer(false, 4));
    const spawn = () => expect.fail('there is no helper');
    const pool = await createThreadPool({ control, threads: 1, spawn });
    const done: number[] = [];
    pool.configure(1, () => expect.fail('there is no helper'));
    runJob(pool, 1, 3, (task) => done.push(task));
    expect(done).toEqual([0, 1, 2]);
    expect(() =>
      runJob(pool, 1, 2, () => {
        throw new Error('here');
      }),
    ).toThrow('here');
    await pool.dispose();
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
  it('hangs, is given up after a while, and the pool with it', async () => {
    const { run, runWithHelper } = await createCounting(2, { stallTimeoutMs: 300 });
    expect(expectError('thread-failed', () => runWithHelper(BEHAVIOUR.hang)).found).toBe('no progress for 300 ms');
    expectError('thread-failed', () => run(1));
  });

  it('dies, is given up too', async () => {
    const { run, runWithHelper } = await createCounting(2, { stallTimeoutMs: 300 });
    expectError('thread-failed', () => runWithHelper(BEHAVIOUR.die));
    expectError('thread-failed', () => run(1));
  });

  it('does not start, fails the pool, and none is left running', async () => {
    const control = openControl(createControlBuffer(true, COUNTING_ARGUMENTS));
    let ended = 0;
    let started = 0;
    const creating = createThreadPool({
      control,
      threads: 3,
      async spawn(options) {
        started++;
        if (started === 2) throw new Error('no more threads');
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
    const error = await expectRejection('thread-failed', creating);
    expect(error.found).toContain('no more threads');
    expect(ended).toBe(1);
  });
});

describe('dispose', () => {
  it('ends threads that sleep, twice as well as once', async () => {
    const { pool, runWithHelper } = await createCounting(3);
    runWithHelper(BEHAVIOUR.count);
    await pool.dispose();
    await pool.dispose();
  });
});
