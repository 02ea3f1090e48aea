/** The command as a user calls it, in processes of its own. */
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLaw } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysieve } from '../test/keysieve.ts';

const TEXT = 'The number of amber fox is 48213. '.repeat(10);

describe('keysieve', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-cli-'));
    await writeFile(file('text.txt'), TEXT);
    await writeFile(file('empty.txt'), '');
    await writeFile(file('latin1.txt'), Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x20, 0x78]));
    await writeFile(file('not.gguf'), 'this is no model, and long enough to have a header of one');
    await writeFile(file('long.txt'), TEXT.repeat(30));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('generates one JSON object on stdout, with everything that a program needs', async () => {
    const args = [
      'generate',
      '--prompt-file',
      file('text.txt'),
      '-n',
      '6',
      '-a',
      'topk',
      '-b',
      'fixed:64',
      '--audit',
      '2',
      '--json',
    ];
    const { code, stdout } = await keysieve(args);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(result).toMatchObject({
      promptTokens: TEXT.length,
      finishReason: 'length',
      prompt: { attention: { policy: 'dense', kind: 'certified' } },
      answer: {
        attention: { policy: 'topk', budget: 'fixed:64', kind: 'certified', keysExact: { mean: 64 } },
        audit: { kind: 'measured' },
      },
    });
    expect(result.tokens).toHaveLength(6);
    expect(result.decodeMs).toHaveLength(5);
    expect(result.text).toHaveLength(6);
    expect(result.prefillMs).toBeGreaterThan(0);
    const { attention } = result.answer;
    expect(attention.keysExact.share).toBeCloseTo(64 / (TEXT.length + 3), 3);
    expect(attention.bytesPerToken).toBeGreaterThan(0);
    for (const bound of ['tailMass', 'outputError']) {
      expect(Object.keys(attention[bound])).toEqual(['mean', 'max']);
    }
  });

  it('streams text on stdout and says on stderr what it cost; a text can be piped in', async () => {
    const { code, stdout, stderr } = await keysieve(['generate', '-n', '8'], TEXT);
    expect(code).toBe(0);
    expect(stdout).toHaveLength(9);
    expect(stderr).toContain(`${TEXT.length} tokens read`);
    expect(stderr).toContain('every key read');
  });

  it('warns when RoPE is stretched past what the model was trained for', async () => {
    const { code, stderr } = await keysieve(['generate', '-p', 'abc', '-n', '2', '--context', '65536']);
    expect(code).toBe(0);
    expect(stderr).toContain('warning: RoPE is stretched');
  });

  it('inspects the embedded model', async () => {
    const { code, stdout } = await keysieve(['inspect', '--json', '--context', '2048', '--precision', 'fp32']);
    expect(code).toBe(0);
    const inspection = JSON.parse(stdout);
    expect(inspection.config).toMatchObject({ architecture: 'llama', headDim: 64 });
    expect(inspection.precision).toEqual({ chosen: 'fp32', reason: 'requested' });
    const { runtime, weights, tokenizer, cache, work, total } = inspection.memory;
    expect(total).toBe(runtime + weights + tokenizer + cache + work);
    const text = await keysieve(['inspect', '--precision', 'fp32']);
    expect(text.stdout).toContain('architecture');
  });

  it('measures a law, writes it and its report, and leaves nothing else behind', async () => {
    const law = file('law.json');
    const sizes = ['--tokens', '2048', '--samples', '4'];
    const args = ['measure', '--text', file('long.txt'), ...sizes, '--law', law, '--out', file('law.html'), '--json'];
    const { code, stdout, stderr } = await keysieve(args);
    expect(stderr).toContain(`The law is in ${law}.`);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    const { heads, groups, model } = readLaw(await readFile(law, 'utf8'), law);
    expect(heads).toHaveLength(model.layers * model.heads);
    expect(groups).toHaveLength(model.layers * model.keyValueHeads);
    expect(result.heads).toHaveLength(heads.length);
    const [head] = result.heads;
    expect(Object.keys(head)).toEqual([
      'layer',
      'head',
      'kind',
      'alpha',
      'C',
      'r2',
      'interval',
      'keys',
      'sinkMass',
      'localMass',
      'distanceShare',
      'rank4Residual',
    ]);
    expect(head).toMatchObject({ layer: 0, head: 0, C: heads[0]?.C });
    expect(result.summary.predictions.map(({ n }: { n: number }) => n)).toEqual([32_768, 131_072, 1_048_576]);
    expect(result.cost.ratio).toBeCloseTo((result.cost.prefillMs + result.cost.measureMs) / result.cost.prefillMs);
    const page = await readFile(file('law.html'), 'utf8');
    expect(page.includes(`<title>How many keys ${model.name} needs</title>`)).toBe(true);
    await expect(access(`${law}.partial`)).rejects.toThrow();
  });

  it.each([
    ['a law of no text', ['measure']],
    [
      'lengths that do not ascend',
      ['measure', '--text', fileURLToPath(import.meta.url), '--tokens', '900', '--lengths', '800,400'],
    ],
    ['no such command', ['sing']],
    ['no such option', ['generate', '--loud']],
    ['no such policy', ['generate', '-p', 'x', '-a', 'psychic']],
    ['no such budget', ['generate', '-p', 'x', '-a', 'topk', '-b', 'some']],
    ['a budget out of range', ['generate', '-p', 'x', '-a', 'topk', '-b', 'fraction:2']],
    ['tokens that are no number', ['generate', '-p', 'x', '-n', 'many']],
    ['a temperature below 0', ['generate', '-p', 'x', '-t', '-1']],
    ['two prompts', ['generate', '-p', 'x', '--prompt-file', 'y']],
    ['an eviction without a prompt', ['bench', 'attention', '--captures', 'none', '-a', 'h2o']],
    ['lengths of an eviction', ['bench', 'scaling', '-a', 'tova']],
    ['a compact file that is not asked for', ['generate', '-p', 'x', '--compact']],
    ['a system message without a chat', ['generate', '-p', 'x', '--system', 'y']],
  ])('exits with 2 and a message for %s', async (_name, args) => {
    const { code, stdout, stderr } = await keysieve(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.length).toBeGreaterThan(20);
  });

  it.each([
    ['model-not-found', () => ['generate', '-p', 'x', '-m', file('none.gguf')]],
    ['not-gguf', () => ['generate', '-p', 'x', '-m', file('not.gguf')]],
    ['prompt-file-not-found', () => ['generate', '--prompt-file', file('none.txt')]],
    ['prompt-not-utf8', () => ['generate', '--prompt-file', file('latin1.txt')]],
    ['file-not-found', () => ['claims', '--captures', file('none.safetensors')]],
    ['file-not-found', () => ['generate', '-p', 'x', '--schema', file('none.json')]],
    ['prompt-empty', () => ['generate', '--prompt-file', file('empty.txt')]],
    ['prompt-too-long', () => ['generate', '--prompt-file', file('text.txt'), '--context', '100']],
    ['chat-template-missing', () => ['generate', '-p', 'x', '--chat']],
  ])('exits with 1 and the code %s', async (errorCode, args) => {
    const { code, stdout, stderr } = await keysieve(args());
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain(`[${errorCode}]`);
  });

  it('stops at Ctrl-C, with the exit code of an interrupt', async () => {
    let interrupted = false;
    // Stretched, so that the warning tells when reading is about to begin.
    const args = ['generate', '--prompt-file', file('long.txt'), '--context', '40000', '-n', '5000'];
    const { code, stderr } = await keysieve(args, '', (text, interrupt) => {
      if (interrupted || !text.includes('warning')) return;
      interrupted = true;
      interrupt();
    });
    expect(stderr).toContain('Interrupted before the prompt was read.');
    expect(code).toBe(130);
  });

  it('stops at Ctrl-C while it tries claims', async () => {
    let interrupted = false;
    const { code, stdout, stderr } = await keysieve(['claims', '--json'], '', (text, interrupt) => {
      if (interrupted || !text.includes('Gaussian rows')) return;
      interrupted = true;
      interrupt();
    });
    expect(stderr).toContain('[aborted]');
    expect([code, stdout]).toEqual([130, '']);
  });
});
