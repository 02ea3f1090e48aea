/** A thread that does attention tasks. */

import { openControl } from '../threads/control.ts';
import { listen } from '../threads/platform.ts';
import { runTasks } from '../threads/run-tasks.ts';
import { createTaskRunner } from './tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from './thread.ts';

let context: ThreadContext | undefined;

const answer = await listen((message) => {
  const setup = message as ThreadSetup;
  const thread = openThread(setup, context);
  context = thread;
  const control = openControl(setup.control);
  runTasks(control, setup.configuration, createTaskRunner(thread, control.arguments));
});
answer('listening');
