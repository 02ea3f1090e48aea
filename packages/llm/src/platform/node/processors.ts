/** The processors that this process may use, and how many of them are not busy with other work. */
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

/** Processors are counted busy over at least this time: the system counts in steps of 10 ms. */
const SAMPLE_MS = 100;

/** Processors that the process may use: its affinity, and the CPU quota of its container (Linux control groups). */
export async function usableProcessors(): Promise<number> {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(await cpuQuota())));
}

/**
 * The CPU quota of this process's control group and of those above it, in processors; Infinity where there is none.
 * Version 2 has `cpu.max`, version 1 `cpu.cfs_quota_us` and `cpu.cfs_period_us` (kernel documentation: cgroup-v2,
 * sched-bwc).
 */
export async function cpuQuota(root = '/sys/fs/cgroup', self = '/proc/self/cgroup'): Promise<number> {
  const groups = (await read(self)) ?? '0::/';
  let quota = Number.POSITIVE_INFINITY;
  for (const line of groups.split('\n')) {
    const [, controllers, path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined) continue;
    // In a container the paths are those of the host, and the container's own group is mounted at the root.
    for (let group = path; ; group = dirname(group)) {
      if (controllers === '') quota = Math.min(quota, parseQuota(await read(join(root, group, 'cpu.max'))));
      else if (controllers.split(',').includes('cpu')) {
        const file = (name: string) => read(join(root, controllers, group, name));
        const [us, period] = [await file('cpu.cfs_quota_us'), await file('cpu.cfs_period_us')];
        quota = Math.min(quota, parseQuota(us && period && `${us.trim()} ${period}`));
      }
      if (group === '/' || group === '.') break;
    }
  }
  return quota;
}

/** `QUOTA PERIOD` in microseconds, or `max PERIOD`. */
function parseQuota(text: string | undefined): number {
  const [quota, period] = (text ?? '').trim().split(/\s+/).map(Number);
  return (quota as number) > 0 && (period as number) > 0 ? (quota as number) / (period as number) : Infinity;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Watches what the processors do until the returned function is called: how many are not busy with other work. */
export function watchProcessors(): () => Promise<number> {
  const before = processorTimes();
  return async () => {
    const rest = SAMPLE_MS - (performance.now() - before.at);
    if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    const now = processorTimes();
    const ms = now.at - before.at;
    const free = (now.idle - before.idle + now.own - before.own) / ms;
    return Math.max(1, Math.min(await usableProcessors(), Math.round(free)));
  };
}

/** Milliseconds that all processors were idle for, and that this process used. */
function processorTimes(): { at: number; idle: number; own: number } {
  const { user, system } = process.cpuUsage();
  const idle = cpus().reduce((sum, { times }) => sum + times.idle, 0);
  return { at: performance.now(), idle, own: (user + system) / 1000 };
}
