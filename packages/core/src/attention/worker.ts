/** A worker thread that does attention tasks: an entry of its own. */
import { registerPolicies } from '../policies/registry.ts';
import { runHelper } from '../threads/helper.ts';
import { createTaskRunner } from './tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from './thread.ts';

/** What is open for each owner of jobs. */
const contexts = new Map<number, ThreadContext>();

await runHelper({
  async open(owner, message) {
    const setup = message as ThreadSetup;
    for (const url of setup.policyModules) await importModule(url);
    const context = openThread(setup, contexts.get(owner));
    contexts.set(owner, context);
    return createTaskRunner(context, new Float64Array(setup.jobNumbers));
  },
  close(owner) {
    contexts.delete(owner);
  },
});

async function importModule(url: string): Promise<void> {
  try {
    await registerPolicies(url);
  } catch (cause) {
    throw new Error(`${url} could not be imported in a worker thread: ${cause}`);
  }
}
