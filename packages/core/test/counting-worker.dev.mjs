// Runs counting-worker.ts in a thread, from the sources.
import { register } from 'tsx/esm/api';

register();
await import('./counting-worker.ts');
