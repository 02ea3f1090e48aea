import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cellsOf, defaultFiller } from '@keysieve/lab';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parsePlan, planSweep, readSweep } from './plan.ts';

describe('the plan of a sweep', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-plan-'));
    await writeFile(join(folder, 'a.txt'), await defaultFiller());
  });
  afterAll(() => rm(folder, { recursive: true }));

  const planOf = (text: string) => planSweep(parsePlan(text, 'plan.yaml'), folder);

  it('becomes a run for each model, text, length and seed, whose cells are known before any is computed', async () => {
    const text = `
models: [nano]
policies: [dense, sieve, window@fixed:16]
budgets: ['fixed:32', 'fixed:64']
seeds: [1, 2]
text: { files: [a.txt], lengths: [300, 400], evalTokens: 8 }
tasks: { names: [recall], lengths: [300], depths: 3 }
`;
    const { runs, sources, id } = await planOf(text);
    expect(runs.map(({ kind }) => kind)).toEqual(['text', 'text', 'tasks', 'text', 'text', 'tasks']);
    expect(runs.map((run) => cellsOf(run)?.length)).toEqual([4, 4, 12, 4, 4, 12]);
    expect(Object.values(sources)).toEqual(['nano']);
    expect(runs[0]).toMatchObject({ model: { precision: 'fp32', threads: 1 }, text: { name: 'a.txt' } });
    expect((await planOf(text)).id).toBe(id);
    expect((await planOf(text.replace('depths: 3', 'depths: 2'))).id).not.toBe(id);
  });

  it('may measure laws, and try the systems of the literature without a model', async () => {
    const { runs } = await planOf(`
models: [nano]
seeds: [1, 2]
measure: { files: [a.txt], tokens: 1024, lengths: [512, 1024], samples: 4 }
methods: { names: [surprise, one-pass] }
`);
    expect(runs.map(({ kind }) => kind)).toEqual(['law', 'law', 'methods', 'methods']);
    expect(runs.map((run) => cellsOf(run)?.length)).toEqual([1, 1, 2, 2]);
    expect(runs[0]).toMatchObject({ settings: { tokens: 1024, samples: 4, seed: 1 }, texts: [{ name: 'a.txt' }] });
    expect((await planOf('methods: {}')).runs.map(({ kind }) => kind)).toEqual(['methods']);
  });

  it.each([
    ['plan-invalid', 'models: [nano]\npolicies: [dense]\nmeasure: { files: [a.txt], tokens: 99999999 }'],
    ['plan-invalid', 'measure: { files: [a.txt] }'],
    ['plan-invalid', 'models: [nano]\ntext: { files: [a.txt], lengths: [300] }'],
    ['invalid-argument', 'models: [nano]\nmeasure: { files: [a.txt], tokens: 1024, lengths: [900, 600] }'],
    ['invalid-argument', 'models: [nano]\nmeasure: { files: [a.txt], tokens: 1024, lengths: [512] }'],
    ['invalid-argument', 'methods: { names: [alchemy] }'],
    ['file-not-found', 'methods: { captures: [gone.safetensors] }'],
    ['plan-invalid', 'models: nano'],
    ['plan-invalid', 'models: [nano]\npolicies: [dense]'],
    ['plan-invalid', 'models: [nano]\npolicies: [dense]\nbugdets: [x]\ntext: { files: [a.txt], lengths: [300] }'],
    ['plan-invalid', 'models: [nano\n'],
    ['plan-invalid', 'models: [nano]\npolicies: [dense]\ntext: { files: [a.txt], lengths: [99999999] }'],
    ['invalid-argument', 'models: [nano]\npolicies: [telepathy]\ntext: { files: [a.txt], lengths: [300] }'],
    ['invalid-argument', 'models: [nano]\npolicies: [sieve@fixed]\ntext: { files: [a.txt], lengths: [300] }'],
    ['invalid-argument', 'models: [nano]\npolicies: [dense]\ntasks: { names: [sing], lengths: [300] }'],
    ['invalid-argument', 'models: [nano]\npolicies: [dense]\ntext: { files: [a.txt], lengths: [16000] }'],
    ['model-not-found', 'models: [gone.gguf]\npolicies: [dense]\ntext: { files: [a.txt], lengths: [300] }'],
  ])('is refused with the code %s before anything is queued: %s', async (code, text) => {
    await expect(async () => planOf(text)).rejects.toMatchObject({ code });
  });

  it('is read from a file', async () => {
    await expect(readSweep(join(folder, 'none.yaml'))).rejects.toMatchObject({ code: 'file-not-found' });
  });
});
