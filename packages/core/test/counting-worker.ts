/** A helper of the thread pool whose tasks count themselves: what a worker is, but for the attention. */
import { openControl } from '../src/threads/control.ts';
import { listen } from '../src/threads/platform.ts';
import { runTasks } from '../src/threads/run-tasks.ts';
import { type CountingSetup, countTask, openCounts } from './counting.ts';

const answer = await listen((message) => {
  const setup = message as CountingSetup;
  const control = openControl(setup.control);
  const counts = openCounts(setup.counts);
  runTasks(control, setup.configuration, (task) => countTask(control, counts, task, setup.thread));
});
answer('listening');
