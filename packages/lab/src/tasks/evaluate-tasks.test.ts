import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type Model } from '@keysieve/llm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runDemo } from './demo.ts';
import { type EvaluateTasksOptions, evaluateTasks } from './evaluate-tasks.ts';

const DENSE = { policy: 'dense' };
const WINDOW = { policy: 'window', budget: 'fixed:48' };

describe('tasks', () => {
  let model: Model;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-tasks-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 1024 });
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  const evaluate = (options: Partial<EvaluateTasksOptions> = {}) =>
    evaluateTasks({
      model,
      tasks: ['recall'],
      lengths: [200, 400],
      depths: 2,
      policies: [DENSE, WINDOW],
      ...options,
    });

  it('ask every policy the same questions, and score the answers', async () => {
    const { policies, answers, lengths, filler } = await evaluate();
    expect(answers).toHaveLength(2 * 2 * 2);
    expect(lengths).toEqual([200, 400]);
    expect(filler.name).toBe('licence');
    for (const { length, depth, references } of answers) {
      const same = answers.filter((answer) => answer.length === length && answer.depth === depth);
      expect(same.map((answer) => answer.references)).toEqual([references, references]);
    }
    const [dense, window] = policies;
    expect(dense).toMatchObject({ policy: 'dense', budget: null, score: 1, right: 4, prompts: 4 });
    expect(dense?.byLength).toEqual({ 200: 1, 400: 1 });
    expect(dense?.byTask).toEqual({ recall: { 200: 1, 400: 1 } });
    expect(dense?.keysExact.share).toBe(1);
    // A window does not reach a fact at the beginning, but the one just before the question.
    const byWindow = answers.filter(({ policy }) => policy === 'window');
    expect(byWindow.map(({ depth, right }) => [depth, right])).toEqual([
      [0, false],
      [1, true],
      [0, false],
      [1, true],
    ]);
    expect(window?.score).toBe(0.5);
    expect(window?.keysExact.mean).toBeCloseTo(48, 0);
  });

  it('are read by each of the prefills', async () => {
    const { policies, answers } = await evaluate({ lengths: [200], depths: 1, prefills: [DENSE, WINDOW] });
    expect(answers.map(({ depth, prefill }) => [depth, prefill.policy])).toEqual([
      [0.5, 'dense'],
      [0.5, 'dense'],
      [0.5, 'window'],
      [0.5, 'window'],
    ]);
    expect(policies.map(({ policy, prefill, prompts }) => [policy, prefill.policy, prompts])).toEqual([
      ['dense', 'dense', 1],
      ['window', 'dense', 1],
      ['dense', 'window', 1],
      ['window', 'window', 1],
    ]);
  });

  it('place their facts at random where a task says so, ten times', async () => {
    const progress: number[] = [];
    const { answers } = await evaluate({
      tasks: ['variables'],
      lengths: [500],
      policies: [WINDOW],
      onProgress: (_, done) => progress.push(done),
    });
    expect(answers).toHaveLength(10);
    expect(new Set(answers.map(({ references }) => references.join())).size).toBe(10);
    expect(answers.every(({ depth }) => depth === null)).toBe(true);
    expect(progress).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('continue from what was saved', async () => {
    const save = join(folder, 'answers.jsonl');
    const options = { save, lengths: [200], policies: [DENSE] };
    const first = await evaluate(options);
    // Times and all: nothing is computed again.
    expect((await evaluate(options)).answers).toEqual(first.answers);
  });

  it.for([
    ['an unknown task', { tasks: ['sing'] }],
    ['a prompt that does not fit its length', { lengths: [12] }],
  ] as const)('refuse %s', async ([, options]) => {
    await expect(evaluate(options)).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('make a demo: full attention and the sieve remember what the window has lost', async () => {
    const { answers, depth, readMs, tokens } = await runDemo({ model, tokens: 1000, seed: 3 });
    expect({ depth, tokens }).toEqual({ depth: 0.2, tokens: 1000 });
    expect(readMs).toBeGreaterThan(0);
    expect(answers.map(({ policy, right }) => [policy, right])).toEqual([
      ['dense', true],
      ['sieve', true],
      // With 1,024 keys a window sees all of this text.
      ['window', true],
    ]);
  });
});
