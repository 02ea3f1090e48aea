import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cpuQuota, usableProcessors, watchProcessors } from './processors.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keysieve-cgroup-'));
});
afterEach(() => rm(root, { recursive: true }));

async function quotaOf(groups: string, files: Record<string, string>): Promise<number> {
  const self = join(root, 'self');
  await writeFile(self, groups);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  return cpuQuota(root, self);
}

describe('the CPU quota of a container', () => {
  it.each<[string, string, Record<string, string>, number]>([
    ['of version 2', '0::/\n', { 'cpu.max': '150000 100000\n' }, 1.5],
    ['of a group above', '0::/a/b\n', { 'a/cpu.max': '200000 100000', 'a/b/cpu.max': 'max 100000' }, 2],
    ['at the root of a container', '0::/docker/0123\n', { 'cpu.max': '50000 100000' }, 0.5],
    ['that does not limit', '0::/\n', { 'cpu.max': 'max 100000' }, Number.POSITIVE_INFINITY],
    [
      'of version 1',
      '3:memory:/x\n2:cpu,cpuacct:/x\n',
      { 'cpu,cpuacct/x/cpu.cfs_quota_us': '400000\n', 'cpu,cpuacct/x/cpu.cfs_period_us': '100000\n' },
      4,
    ],
    [
      'of version 1 that does not limit',
      '2:cpu,cpuacct:/\n',
      { 'cpu,cpuacct/cpu.cfs_quota_us': '-1\n', 'cpu,cpuacct/cpu.cfs_period_us': '100000\n' },
      Number.POSITIVE_INFINITY,
    ],
    ['that cannot be read', 'nonsense', {}, Number.POSITIVE_INFINITY],
  ])('is known: %s', async (_, groups, files, quota) => {
    expect(await quotaOf(groups, files)).toBe(quota);
  });

  it('leaves at least one processor', async () => {
    expect(await usableProcessors()).toBeGreaterThanOrEqual(1);
    expect(await usableProcessors()).toBeLessThanOrEqual(availableParallelism());
    expect(await watchProcessors()()).toBeGreaterThanOrEqual(1);
    expect(await watchProcessors()()).toBeLessThanOrEqual(await usableProcessors());
  });
});
