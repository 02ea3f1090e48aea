/** The claims on one thread, step by step; pool.test.ts has them on several. */
import { describe, expect, it } from 'vitest';
import {
  abandonJob,
  announceMessage,
  awaitJob,
  type Control,
  claimTask,
  createControlBuffer,
  currentJob,
  failTask,
  finishTask,
  isStopped,
  MAX_JOB_TASKS,
  messagesFor,
  openControl,
  ownerOf,
  publishJob,
  resetHelper,
  stop,
  takeFailure,
  taskOf,
} from './control.ts';

const OWNER = { owner: 7, configuration: 3 };
const always = () => true;

const createControl = (): Control => openControl(createControlBuffer());

function claim(control: Control, isReady: (owner: number, configuration: number) => boolean = always) {
  const claimed = claimTask(control, isReady);
  return claimed === undefined ? undefined : taskOf(claimed);
}

describe('claims', () => {
  it('hand out each task of a job once, and then none', () => {
    const control = createControl();
    expect(claim(control)).toBeUndefined();
    publishJob(control, 3, OWNER);
    expect([1, 2, 3, 4, 5].map(() => claim(control))).toEqual([0, 1, 2, undefined, undefined]);
    publishJob(control, 1, OWNER);
    expect([claim(control), claim(control)]).toEqual([0, undefined]);
  });

  it('go up to the largest job', () => {
    const control = createControl();
    publishJob(control, MAX_JOB_TASKS, OWNER);
    for (let task = 0; task < MAX_JOB_TASKS; task++) expect(claim(control)).toBe(task);
    expect(claim(control)).toBeUndefined();
  });

  it('are for threads that know the owner of the job, and its configuration', () => {
    const control = createControl();
    publishJob(control, 2, OWNER);
    expect(claim(control, (owner, configuration) => owner === 7 && configuration === 3)).toBe(0);
    expect(ownerOf(control)).toBe(7);
    expect(claim(control, (_, configuration) => configuration === 2)).toBeUndefined();
    expect(claim(control)).toBe(1);
  });

  it('number jobs so that a sleeper sees every one, past the end of 32 bits too', () => {
    const control = createControl();
    Atomics.store(control.words, 1, 2 ** 31 - 2);
    const numbers = [1, 2, 3].map(() => {
      publishJob(control, 1, OWNER);
      expect(claim(control)).toBe(0);
      return currentJob(control);
    });
    expect(numbers).toEqual([2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 1]);
  });

  it('end with a job that is given up, and what was in hand counts for no other', () => {
    const control = createControl();
    publishJob(control, 3, OWNER);
    const late = claimTask(control, always) as number;
    abandonJob(control);
    expect(claim(control)).toBeUndefined();
    publishJob(control, 1, OWNER);
    const current = claimTask(control, always) as number;
    finishTask(control, late);
    expect(awaitJob(control, 1, always)).toBe(false);
    finishTask(control, current);
    expect(awaitJob(control, 1, always)).toBe(true);
  });
});

describe('the end of a job', () => {
  it('comes with the last of its tasks', () => {
    const control = createControl();
    publishJob(control, 2, OWNER);
    const claims = [claimTask(control, always) as number, claimTask(control, always) as number];
    finishTask(control, claims[0] as number);
    expect(awaitJob(control, 2, always)).toBe(false);
    finishTask(control, claims[1] as number);
    expect(awaitJob(control, 2, always)).toBe(true);
    publishJob(control, 0, OWNER);
    expect(awaitJob(control, 0, always)).toBe(true);
  });

  it('brings the first reason for which a task of its owner failed, once, cut where it is long', () => {
    const control = createControl();
    expect(takeFailure(control, 7)).toBeUndefined();
    failTask(control, 7, 'the first — reason');
    failTask(control, 7, 'the second');
    expect(takeFailure(control, 8)).toBeUndefined();
    expect(takeFailure(control, 7)).toBe('the first — reason');
    expect(takeFailure(control, 7)).toBeUndefined();
    failTask(control, 8, 'x'.repeat(5000));
    expect(takeFailure(control, 8)).toMatch(/^x{900,960}$/);
    failTask(control, 8, '');
    // That of the job that runs is more urgent than what another owner has not asked for yet.
    failTask(control, 7, 'now');
    expect([takeFailure(control, 7), takeFailure(control, 8)]).toEqual(['now', undefined]);
  });

  it('is followed by another until the threads are told to stop', () => {
    const control = createControl();
    expect(isStopped(control)).toBe(false);
    const job = currentJob(control);
    stop(control);
    expect(isStopped(control)).toBe(true);
    expect(currentJob(control)).not.toBe(job);
  });
});

describe('a message', () => {
  it('is counted for its helper alone, and wakes sleepers', () => {
    const control = createControl();
    const job = currentJob(control);
    announceMessage(control, 2);
    expect([1, 2].map((helper) => messagesFor(control, helper))).toEqual([0, 1]);
    expect(currentJob(control)).not.toBe(job);
    resetHelper(control, 2);
    expect(messagesFor(control, 2)).toBe(0);
  });
});
