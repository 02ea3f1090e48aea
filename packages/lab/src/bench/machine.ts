/** What a measurement was made with: to be printed beside every figure. */
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { packageVersion } from '../package-file.ts';

/** The machine that a measurement was made on. */
export interface Machine {
  processor: string;
  cores: number;
  memoryBytes: number;
  system: string;
  /** Load average of the last minute: above `cores`, the machine was doing other work as well. */
  load: number;
}

/** Versions of the programs that took part in a measurement. */
export interface Versions {
  keysieve: string;
  node: string;
  [peer: string]: string;
}

export function machineOf(): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    load: Math.round((loadavg()[0] as number) * 10) / 10,
  };
}

export function versionsOf(peers: Readonly<Record<string, string>> = {}): Versions {
  return { keysieve: packageVersion(), node: process.version, ...peers };
}
