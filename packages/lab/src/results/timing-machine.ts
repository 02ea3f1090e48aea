import { cpus, loadavg } from 'node:os';
import type { TimingMachine } from './cell.ts';

/** This machine, as the times of a cell name it. */
export const timingMachine = (threads: number): TimingMachine => ({
  processor: cpus()[0]?.model.trim() ?? 'unknown',
  threads,
  load: Math.round((loadavg()[0] as number) * 10) / 10,
});
