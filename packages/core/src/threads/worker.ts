/** A thread that does attention tasks. */
import { createTaskRunner } from '../attention/tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from '../attention/thread.ts';
import { openControl } from './control.ts';
import { listen } from './platform.ts';
import { work } from './work.ts';

let context: ThreadContext | undefined;

const answer = await listen((message) => {
  const setup = message as ThreadSetup;
  const thread = openThread(setup, context);
  context = thread;
  const control = openControl(setup.control);
  work(control, setup.configuration, createTaskRunner(thread, control.arguments));
});
answer('listening');
