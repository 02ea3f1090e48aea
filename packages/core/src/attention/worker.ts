/** What a worker thread does that helps with attention. */
import { registerPolicies } from '../policies/registry.ts';
import { runHelper } from '../threads/helper.ts';
import type { Listen } from '../threads/thread.ts';
import { createTaskRunner } from './tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from './thread.ts';

/** Does tasks until the thread is ended. */
export function serveAttention(listen: Listen): void {
  /** What is open for each owner of jobs. */
  const contexts = new Map<number, ThreadContext>();
  runHelper(listen, {
    async open(owner, message) {
      const setup = message as ThreadSetup;
      for (const url of setup.policyModules) await importModule(url);
      const context = openThread(setup, contexts.get(owner));
      contexts.set(owner, context);
      return createTaskRunner(context, new Float64Array(setup.batchNumbers));
    },
    close(owner) {
      contexts.delete(owner);
    },
  });
}

async function importModule(url: string): Promise<void> {
  try {
    await registerPolicies(url);
  } catch (cause) {
    throw new Error(`${url} could not be imported in a worker thread: ${cause}`);
  }
}
