/** A helper of the thread pool whose tasks count themselves: what a worker is, but for the attention. */
import { runHelper } from '../src/threads/helper.ts';
import { listen } from '../src/threads/node.ts';
import { type CountingSetup, countTask, openCounts } from './counting.ts';

runHelper(listen, {
  async open(_, setup) {
    const { counts, job, thread, failsToOpen } = setup as CountingSetup;
    if (failsToOpen) throw new Error('this setup cannot be opened');
    const [opened, numbers] = [openCounts(counts), new Float64Array(job)];
    return (task) => countTask(numbers, opened, task, thread);
  },
  close() {},
});
