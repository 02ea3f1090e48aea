/** Workers in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('worker.mts', import.meta.url));

export function startWorker(queue: string, models: string, lockMs: number): ChildProcess {
  const node = ['--conditions', 'keysieve-source', '--import', import.meta.resolve('tsx'), WORKER];
  return spawn(process.execPath, [...node, queue, models, String(lockMs)], { stdio: 'inherit' });
}

/** Ends a worker at once, as when its machine is switched off; its child process ends by itself. */
export async function killWorker(worker: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const ended = once(worker, 'exit');
  worker.kill(signal);
  await ended;
}
