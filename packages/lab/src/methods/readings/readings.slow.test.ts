/** Readings of a real model's heads, beside figures that a study of the same captures had (within 15 %). */
import { describe, expect, it } from 'vitest';
import { sharedFile } from '../../../../llm/test/shared.ts';
import { readCapture } from '../../captures/read-capture.ts';
import { errorAt, type Point, type Study } from '../method.ts';
import { divisionReading } from './division.ts';
import { leverageReading } from './leverage.ts';
import { remainsReading } from './remains.ts';
import { retentionReading } from './retention.ts';
import { surpriseReading } from './surprise.ts';

const path = sharedFile('captures/smollm2-8k.safetensors');

const errorsOf = (points: readonly Point[], name: string) =>
  points
    .filter((point) => point.name === name)
    .sort((a, b) => a.cost - b.cost)
    .map(({ error }) => error);

function expectNear(errors: readonly number[], study: readonly number[]): void {
  expect(errors).toHaveLength(study.length);
  for (const [i, error] of errors.entries()) {
    const ratio = error / (study[i] as number);
    expect(ratio, `${errors} beside ${study}`).toBeGreaterThan(0.85);
    expect(ratio, `${errors} beside ${study}`).toBeLessThan(1.15);
  }
}

describe.skipIf(path === undefined)('readings of SmolLM2 at 8K', () => {
  const study = async (): Promise<Study> => ({ heads: await readCapture(path as string), seed: 1, policies: [] });

  it('of evictions agree with the study', async () => {
    const captured = await study();
    const leverage = leverageReading(captured);
    const points = [...leverage.points, ...leverage.others];
    expectNear(errorsOf(points, 'leverage, as cached'), [0.88, 0.99, 0.94]);
    expectNear(errorsOf(points, 'leverage, centred'), [0.87, 0.98, 0.93]);
    expectNear(errorsOf(points, 'leverage before RoPE, centred'), [0.72, 0.66, 0.62]);
    expectNear(errorsOf(points, 'KeyDiff'), [0.59, 0.54, 0.44]);
    expectNear(errorsOf(points, 'window'), [0.48, 0.37, 0.22]);
    expectNear(
      [256, 512, 1024].map((keys) => errorAt(leverage.reference?.points ?? [], keys)),
      [0.36, 0.26, 0.17],
    );
    expectNear(errorsOf(retentionReading(captured).points, 'streaming SVM'), [0.41, 0.3, 0.18]);
    expectNear(errorsOf(surpriseReading(captured).points, 'surprise'), [0.7, 0.69, 0.69]);
  });

  it('of the remains of evicted keys agree with the study', async () => {
    const { points, others } = remainsReading(await study());
    expectNear(errorsOf(points, '64 clusters with moments, in one pass'), [0.132, 0.113, 0.082]);
    expectNear(errorsOf(others, '64 clusters with moments'), [0.132, 0.108, 0.075]);
    expectNear(errorsOf(others, 'page means of 64 keys').slice(1), [0.25, 0.19]);
  });

  it('of divided budgets agree with the study', async () => {
    const { tables } = divisionReading(await study());
    const figures = (division: string) =>
      (tables[0]?.rows.find(([name]) => name === division) ?? []).slice(1).map(Number);
    expectNear(figures('the same for all'), [0.11, 0.185, 0.488]);
    expectNear(figures('by shown errors, token by token'), [0.11, 0.138, 0.268]);
    expectNear(figures('best for every token, in hindsight'), [0.104, 0.125, 0.238]);
  });
});
