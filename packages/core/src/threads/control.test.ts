/** The claims on one thread, step by step; pool.test.ts has them on several. */
import { describe, expect, it } from 'vitest';
import {
  awaitJob,
  type Control,
  claimTask,
  createControlBuffer,
  currentJob,
  failTask,
  finishTask,
  isConfiguration,
  isStopped,
  MAX_JOB_TASKS,
  openControl,
  publishConfiguration,
  publishJob,
  stop,
  takeFailure,
} from './control.ts';

function controlWith(configuration: number): Control {
  const control = openControl(createControlBuffer(true, 8));
  publishConfiguration(control, configuration);
  return control;
}

describe('claims', () => {
  it('hand out each task of a job once, and then none', () => {
    const control = controlWith(1);
    expect(claimTask(control, 1)).toBeUndefined();
    publishJob(control, 3);
    expect([1, 2, 3, 4, 5].map(() => claimTask(control, 1))).toEqual([0, 1, 2, undefined, undefined]);
    publishJob(control, 1);
    expect([claimTask(control, 1), claimTask(control, 1)]).toEqual([0, undefined]);
  });

  it('go up to the largest job', () => {
    const control = controlWith(1);
    publishJob(control, MAX_JOB_TASKS);
    for (let task = 0; task < MAX_JOB_TASKS; task++) expect(claimTask(control, 1)).toBe(task);
    expect(claimTask(control, 1)).toBeUndefined();
  });

  it('are for threads of the published configuration alone', () => {
    const control = controlWith(1);
    publishJob(control, 2);
    expect(claimTask(control, 1)).toBe(0);
    expect(claimTask(control, 2)).toBeUndefined();
    publishConfiguration(control, 2);
    // The job went with its configuration.
    expect(claimTask(control, 1)).toBeUndefined();
    expect(claimTask(control, 2)).toBeUndefined();
    publishJob(control, 1);
    expect(claimTask(control, 2)).toBe(0);
    expect([isConfiguration(control, 1), isConfiguration(control, 2)]).toEqual([false, true]);
  });

  it('number jobs so that a sleeper sees every one, past the end of 32 bits too', () => {
    const control = controlWith(1);
    Atomics.store(control.words, 1, 2 ** 31 - 2);
    const numbers = [1, 2, 3].map(() => {
      publishJob(control, 1);
      expect(claimTask(control, 1)).toBe(0);
      return currentJob(control);
    });
    expect(numbers).toEqual([2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 1]);
  });
});

describe('the end of a job', () => {
  it('comes with the last of its tasks', () => {
    const control = controlWith(1);
    publishJob(control, 2);
    finishTask(control);
    expect(awaitJob(control, 2, 0)).toBe(false);
    finishTask(control);
    expect(awaitJob(control, 2, 0)).toBe(true);
    publishJob(control, 0);
    expect(awaitJob(control, 0, 0)).toBe(true);
  });

  it('brings the first reason for which a task failed, once, cut where it is long', () => {
    const control = controlWith(1);
    expect(takeFailure(control)).toBeUndefined();
    failTask(control, 'the first — reason');
    failTask(control, 'the second');
    expect(takeFailure(control)).toBe('the first — reason');
    expect(takeFailure(control)).toBeUndefined();
    failTask(control, 'x'.repeat(5000));
    expect(takeFailure(control)).toMatch(/^x{900,960}$/);
    failTask(control, '');
    expect(takeFailure(control)).toBe('');
    expect(control.arguments.every((number) => number === 0)).toBe(true);
  });

  it('is followed by another until the threads are told to stop', () => {
    const control = controlWith(1);
    expect(isStopped(control)).toBe(false);
    const job = currentJob(control);
    stop(control);
    expect(isStopped(control)).toBe(true);
    expect(currentJob(control)).not.toBe(job);
  });
});
