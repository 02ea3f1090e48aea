import { describe, expect, it } from 'vitest';
import type { PolicyScores, TasksResult } from '../tasks/evaluate-tasks.ts';
import { describeTasks } from './tasks.ts';

const scores = (policy: string, budget: string | null, msPerToken: number) => ({
  row: {
    policy,
    budget,
    prefill: { policy: 'dense', budget: null },
    score: 0.5,
    right: 2,
    prompts: 4,
    byLength: { 2048: 1, 4096: 0 },
    byTask: { needle: { 2048: 1, 4096: 0 } },
    keysExact: { mean: 64, share: 0.02 },
    tailMass: 0.1,
    kind: 'estimated',
  } satisfies PolicyScores,
  time: { policy, budget, prefill: { policy: 'dense', budget: null }, msPerToken, answers: 4 },
});

const RUNS = [scores('dense', null, 31.4), scores('sieve', 'fixed:64', 12.3)];

const RESULT: TasksResult = {
  model: {} as TasksResult['model'],
  filler: { name: 'invented', hash: '' },
  chat: false,
  seed: 1,
  tasks: ['needle'],
  lengths: [2048, 4096],
  policies: RUNS.map(({ row }) => row),
  answers: [],
  times: [{ machine: { processor: 'invented', threads: 1, load: 0 }, policies: RUNS.map(({ time }) => time) }],
};

describe('scores of tasks', () => {
  it('stand in a row for each policy, with a column for each length and the time of its own', () => {
    const [names = '', dense = '', sieve = ''] = describeTasks(RESULT, Number.POSITIVE_INFINITY).split('\n');
    expect(names).toMatch(/^policy +budget +prefill +all right +score +\S+ +\S+ +keys +share +ms$/);
    expect(dense).toMatch(/^dense .* 31\.4$/);
    expect(sieve).toMatch(/^sieve +fixed:64 +dense +2 of 4 .* 12\.3$/);
  });

  it('have a column for each task where there are several', () => {
    const byTask = { needle: { 2048: 1 }, variables: { 2048: 0.25 } };
    const policies = RESULT.policies.map((row) => ({ ...row, byTask }));
    const text = describeTasks({ ...RESULT, tasks: ['needle', 'variables'], policies }, Number.POSITIVE_INFINITY);
    expect(text.split('\n')[0]).toMatch(/ needle +variables /);
    expect(text).toMatch(/ 100(?:\.0)? % +25(?:\.0)? % /);
  });

  it.each([80, 40, 20])('fit %i columns without losing a figure', (width) => {
    const text = describeTasks(RESULT, width);
    expect(text.split('\n').every((line) => line.length <= width)).toBe(true);
    for (const figure of ['fixed:64', '2 of 4', '31.4', '12.3']) expect(text).toContain(figure);
  });
});
