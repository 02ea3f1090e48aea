/** A worker thread that does attention tasks: an entry of its own. */
import { registerPolicies } from '../policies/registry.ts';
import { failTask, openControl } from '../threads/control.ts';
import { listen } from '../threads/platform.ts';
import { runTasks } from '../threads/run-tasks.ts';
import { createTaskRunner } from './tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from './thread.ts';

let context: ThreadContext | undefined;
/** Setups are opened one after the other, in the order in which they came. */
let opened = Promise.resolve();

const answer = await listen((message) => {
  opened = opened.then(() => work(message as ThreadSetup));
});
answer('listening');

/** Opens a setup and does tasks until there is another. Where it cannot be opened, the owner of the job learns why. */
async function work(setup: ThreadSetup): Promise<void> {
  const control = openControl(setup.control);
  try {
    for (const url of setup.policyModules) await importModule(url);
    context = openThread(setup, context);
  } catch (error) {
    failTask(control, String(error));
    return;
  }
  runTasks(control, setup.configuration, createTaskRunner(context, control.arguments));
}

async function importModule(url: string): Promise<void> {
  try {
    await registerPolicies(url);
  } catch (cause) {
    throw new Error(`${url} could not be imported in a worker thread: ${cause}`);
  }
}
