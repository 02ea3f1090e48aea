/** A thread that does attention tasks: it takes what it can of each job and sleeps in between. */
import { runTask } from '../attention/tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from '../attention/thread.ts';
import {
  awaitNextJob,
  type Control,
  claimTask,
  currentJob,
  failTask,
  finishTask,
  isConfiguration,
  isStopped,
  openControl,
} from './control.ts';
import { listen } from './platform.ts';

let context: ThreadContext | undefined;

const answer = await listen((message) => {
  const setup = message as ThreadSetup;
  context = openThread(setup, context);
  const control = openControl(setup.control);
  answer({ ready: setup.configuration });
  work(control, context, setup.configuration);
});
answer({ ready: 'listening' });

/** Works until another configuration is published; then the event loop must run, so that its message arrives. */
function work(control: Control, thread: ThreadContext, configuration: number): void {
  while (!isStopped(control) && isConfiguration(control, configuration)) {
    const job = currentJob(control);
    for (let task = claimTask(control, configuration); task !== undefined; task = claimTask(control, configuration)) {
      try {
        runTask(thread, control.arguments, task);
      } catch (error) {
        failTask(control);
        answer({ failed: String(error) });
      }
      finishTask(control);
    }
    if (!isStopped(control) && isConfiguration(control, configuration)) awaitNextJob(control, job);
  }
}
