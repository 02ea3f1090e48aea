import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultFiller, lawModelOf, withLawBudget } from '@keysieve/lab';
import { loadModel, type Model } from '@keysieve/llm';
import type { LawFile } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lawFixture } from '../../lab/test/law-fixture.ts';
import { generateCommand } from './commands/generate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { checkLoadedLaw, loadLaw } from './law-options.ts';
import { policySpecs } from './options.ts';

const never = new AbortController().signal;

describe('budgets by a law', () => {
  let folder: string;
  let model: Model;
  let law: LawFile;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-law-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 2048 });
    law = { ...lawFixture({ layers: 6, heads: 3 }), model: await lawModelOf(model) };
    await writeFile(file('law.json'), JSON.stringify(law));
    await writeFile(file('foreign.json'), JSON.stringify(lawFixture({ layers: 6, heads: 3 })));
    await writeFile(file('old.json'), JSON.stringify({ ...law, version: 0 }));
    await writeFile(file('text.txt'), (await defaultFiller()).slice(0, 1500));
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  const opened = () => loadLaw(file('law.json'), [{ policy: 'sieve', budget: 'mean:64' }]);

  /** What a command prints on stdout, as JSON. */
  async function run(command: ReturnType<typeof generateCommand>, args: string[]) {
    const printed: string[] = [];
    const write = process.stdout.write;
    process.stdout.write = (text) => printed.push(String(text)) > 0;
    try {
      await command.parseAsync([...args, '--precision', 'fp32', '--threads', '1', '--json'], { from: 'user' });
    } finally {
      process.stdout.write = write;
    }
    return JSON.parse(printed.join(''));
  }

  it('are read with the other budgets, each under its own name', () => {
    const options = { policy: ['sieve@fixed:64', 'sieve@mean:64.0', 'topk'], law: 'law.json' };
    expect(policySpecs(options)).toEqual([
      { policy: 'sieve', budget: 'fixed:64' },
      { policy: 'sieve', budget: 'mean:64' },
      { policy: 'topk', budget: 'mean:256' },
    ]);
    expect(policySpecs({ policy: ['sieve', 'dense'], budget: ['error:0.05', 'mean:9'] })).toHaveLength(3);
  });

  it.for(['mean:0', 'error:2', 'error:x', 'mean:'])('are refused where the total is %o', (budget) => {
    expect(() => policySpecs({ budget: [budget] })).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('need the law that divides them', async () => {
    const options = loadLaw(undefined, [{ policy: 'dense' }, { policy: 'sieve', budget: 'mean:64' }]);
    await expect(options).rejects.toMatchObject({ code: 'invalid-argument', found: 'mean:64' });
    await expect(loadLaw(undefined, [{ policy: 'sieve', budget: 'fixed:64' }])).resolves.toBeUndefined();
  });

  it.for([
    ['none.json', 'file-not-found'],
    ['text.txt', 'law-invalid'],
    ['old.json', 'law-version'],
  ] as const)('are not made from %s', async ([name, code]) => {
    await expect(loadLaw(file(name), [{ policy: 'sieve', budget: 'mean:64' }])).rejects.toMatchObject({ code });
  });

  it('are not made from the law of another model, and other budgets are left as they are', async () => {
    await expect(checkLoadedLaw(await opened(), model, never)).resolves.toBeUndefined();
    const foreign = await loadLaw(file('foreign.json'), [{ policy: 'sieve', budget: 'mean:64' }]);
    await expect(checkLoadedLaw(foreign, model, never)).rejects.toMatchObject({ code: 'law-foreign' });
    const law = await opened();
    expect(withLawBudget({ policy: 'sieve', budget: 'fixed:9' }, law?.law)).toEqual({
      policy: 'sieve',
      budget: 'fixed:9',
    });
  });

  it('reach the attention of generate, which reports them', async () => {
    const args = [
      '--prompt-file',
      file('text.txt'),
      '-n',
      '3',
      '--law',
      file('law.json'),
      '-a',
      'topk',
      '-b',
      'mean:64',
    ];
    const { attention } = (await run(generateCommand(), args)).answer;
    expect(attention).toMatchObject({ policy: 'topk', budget: 'mean:64' });
    expect(Math.abs(attention.keysExact.mean - 64)).toBeLessThan(1);
    const byDefault = await run(generateCommand(), [...args.slice(0, 4), '--law', file('law.json')]);
    expect(byDefault).toMatchObject({
      answer: { attention: { budget: 'mean:256' } },
      prompt: { attention: { budget: 'mean:256' } },
    });
  });

  it('are shown by inspect, at several lengths', async () => {
    const inspection = await run(inspectCommand(), ['--law', file('law.json'), '-b', 'error:0.05']);
    expect(inspection.attention).toMatchObject({ policy: 'sieve', budget: 'error:0.05' });
    const { target, keys } = inspection.law;
    expect(target).toBe('error:0.05');
    expect(keys[4096]).toBeGreaterThan(keys[1024]);
    expect(keys[65_536]).toBeGreaterThan(keys[16_384]);
    const foreign = run(inspectCommand(), ['--law', file('foreign.json')]);
    await expect(foreign).rejects.toMatchObject({ code: 'law-foreign' });
  });
});
