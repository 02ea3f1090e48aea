/** A worker as a process of its own: QUEUE MODELS LOCK_MS. */
import { runWorker } from '../src/index.ts';

const [, , queue = '', models, lockMs] = process.argv;
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await runWorker({ queue, models, signal: stop.signal, lockMs: Number(lockMs), onNote: (note) => console.error(note) });
