/** What `keysieve bench` prints as JSON, and the page on performance is made of. */
import type { Machine, Versions } from './machine.ts';
import type { MemoryResult } from './memory.ts';
import type { ScalingResult } from './scaling.ts';
import type { SpeedResult } from './speed.ts';
import type { StepsResult } from './steps.ts';

/** Times of a model and its peers, behind contexts of several lengths. */
export interface SpeedReport {
  bench: 'decode' | 'prefill';
  model: string;
  text: string;
  threads: number;
  precision: string;
  versions: Versions;
  machine: Machine;
  runs: SpeedResult[];
}

/** Times of the attention alone, over numbers of keys. */
export interface ScalingReport extends ScalingResult {
  bench: 'scaling';
  versions: Versions;
  machine: Machine;
}

/** Times of tokens by their positions. */
export interface StepsReport extends StepsResult {
  bench: 'steps';
  model: string;
  threads: number;
  versions: Versions;
  machine: Machine;
}

/** Bytes of caches and of the process around a full one. */
export interface MemoryReport extends MemoryResult {
  bench: 'memory';
  versions: Versions;
  machine: Machine;
}

/** Any of them; `bench` tells them apart. */
export type BenchReport = SpeedReport | ScalingReport | StepsReport | MemoryReport;
