/** What a helping thread does between two configurations: it takes what it can of each job and sleeps in between. */
import {
  awaitNextJob,
  type Control,
  claimTask,
  currentJob,
  failTask,
  finishTask,
  isConfiguration,
  isStopped,
} from './control.ts';

/**
 * Works until another configuration is published or the threads are told to end. Then it returns, for the event loop
 * must run before the message with the next configuration can arrive.
 */
export function runTasks(control: Control, configuration: number, runTask: (task: number) => void): void {
  const isCurrent = () => !isStopped(control) && isConfiguration(control, configuration);
  while (isCurrent()) {
    const job = currentJob(control);
    for (let task = claimTask(control, configuration); task !== undefined; task = claimTask(control, configuration)) {
      try {
        runTask(task);
      } catch (error) {
        failTask(control, String(error));
      }
      finishTask(control);
    }
    // What is published from here on changes the number of the job, and the sleep ends before it begins.
    if (isCurrent()) awaitNextJob(control, job);
  }
}
