import { describe, expect, it } from 'vitest';
import type { CapturedHead } from '../captures/captured-head.ts';
import { createRandom, normals } from '../numerics/random.ts';
import { benchAttention } from './attention.ts';
import { rejectEvictingPolicies } from './evicting-policies.ts';
import { machineOf, versionsOf } from './machine.ts';
import { quantizeRows } from './quantized-rows.ts';

const D = 16;

function headOf(n: number, lastQueries = 8): CapturedHead {
  const random = createRandom(n);
  return {
    name: 'l0.g0',
    headDim: D,
    n,
    group: 2,
    lastQueries,
    keys: normals(random, n * D),
    values: normals(random, n * D).map((x) => x + 0.5),
    queries: normals(random, 2 * lastQueries * D).map((x) => 2 * x),
  };
}

describe('bench attention', () => {
  it('takes every Nth of the last queries', async () => {
    const heads = [headOf(300)];
    const policies = [{ policy: 'window', budget: 'fixed:40' }];
    const all = await benchAttention({ heads, policies });
    const last = await benchAttention({ heads, policies, lastQueries: 1 });
    const every = await benchAttention({ heads, policies, lastQueries: 8, stride: 7 });
    const meanOf = ([result]: typeof all) => result?.summary.outputError.mean ?? 0;
    expect(new Set([all, last, every].map(meanOf)).size).toBe(3);
    // One query: the 95th percentile of two heads is between them.
    const [result] = last;
    expect(result?.heads.map(({ outputError }) => outputError.p95)).toEqual(
      result?.heads.map(({ outputError }) => outputError.mean),
    );
  });

  it('says how well estimated errors are calibrated, and nothing of certified ones', async () => {
    const [sieve, int8] = await benchAttention({
      heads: [headOf(2000)],
      policies: [
        { policy: 'sieve', budget: 'fixed:64' },
        { policy: 'int8', budget: 'fixed:64' },
      ],
    });
    expect(sieve?.summary.calibration?.ratio).toBeGreaterThan(0.3);
    expect(sieve?.summary.calibration?.ratio).toBeLessThan(3);
    expect(sieve?.summary.calibration?.withinTwice).toBeGreaterThan(0.5);
    expect(int8?.summary.calibration).toBeNull();
    expect(int8?.summary.violations).toBe(0);
  });

  it('says what a certificate took: never fewer keys than an oracle needs', async () => {
    const share = 0.2;
    const [result] = await benchAttention({
      heads: [headOf(1000)],
      policies: [{ policy: 'int8', budget: 'fixed:64', certify: share }],
    });
    const certify = result?.summary.certify;
    expect(certify).toMatchObject({ share });
    expect(certify?.ratio ?? 1).toBeGreaterThanOrEqual(1);
    expect(certify?.ratio ?? 1).toBeLessThan(1.3);
    expect(certify?.fullAttention === 1).toBe(certify?.ratio === null);
    expect(result?.summary.violations).toBe(0);
    for (const { tailMass } of result?.heads ?? []) expect(tailMass).toBeLessThanOrEqual(share + 1e-6);
  });

  it('reports its progress over policies and heads', async () => {
    const seen: string[] = [];
    await benchAttention({
      heads: [headOf(100), headOf(120)],
      policies: [{ policy: 'dense' }, { policy: 'window', budget: 'fixed:40' }],
      lastQueries: 1,
      onProgress: (_, done, total) => seen.push(`${done} of ${total}`),
    });
    expect(seen).toEqual(['1 of 4', '2 of 4', '3 of 4', '4 of 4']);
  });
});

describe('quantizeRows', () => {
  it.for([
    // Codes from -7 to 7 of the largest magnitude.
    [4, [7, -3.4, 0.4, 0], [7, -3, 0, 0]],
    [8, [127, -63.6, 0.4, 0], [127, -64, 0, 0]],
    [4, [0, 0, 0, 0], [0, 0, 0, 0]],
  ] as const)('with %d bits turns %j into %j', ([bits, row, quantized]) => {
    expect([...quantizeRows(Float32Array.from(row), 4, bits)].map((x) => x + 0)).toEqual(quantized);
  });

  it('has a step size for each row', () => {
    const rows = Float32Array.of(7, 1, 700, 100);
    expect([...quantizeRows(rows, 2, 4)]).toEqual([7, 1, 700, 100]);
  });
});

describe('policies that evict keys', () => {
  it('are refused where there are only the last queries, and others are not', async () => {
    const { registerBaselines } = await import('../baselines/index.ts');
    await registerBaselines();
    expect(() => rejectEvictingPolicies([{ policy: 'sieve' }, { policy: 'dense' }])).not.toThrow();
    expect(() => rejectEvictingPolicies([{ policy: 'sieve' }, { policy: 'h2o' }])).toThrow(
      expect.objectContaining({ code: 'invalid-argument', found: 'h2o' }),
    );
  });
});

describe('what a figure was measured with', () => {
  it('is the machine, and the versions of both sides', () => {
    const { processor, cores, memoryBytes, system } = machineOf();
    expect(processor.length).toBeGreaterThan(0);
    expect(cores).toBeGreaterThan(0);
    expect(memoryBytes).toBeGreaterThan(2 ** 28);
    expect(system).toMatch(/ /);
    expect(versionsOf({ peer: '2' })).toMatchObject({ node: process.version, peer: '2' });
    expect(versionsOf().keysieve).toMatch(/^\d+\.\d+\.\d+/);
  });
});
