/** What a person sees in a terminal, and how it is left. */
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasPseudoTerminal, inTerminal, isRestored, linesOf } from '../test/pseudo-terminal.ts';

const NANO = fileURLToPath(new URL('../../../models/nano/nano.gguf', import.meta.url));

describe.skipIf(!hasPseudoTerminal)('in a terminal', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);
  const withFiles = (args: string[]) => args.map((arg) => (arg.endsWith('.txt') ? file(arg) : arg));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-terminal-'));
    await writeFile(file('short.txt'), 'The number of amber fox is 48213. '.repeat(250));
    await writeFile(file('long.txt'), 'The number of amber fox is 48213. '.repeat(1500));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each<[string, string[], RegExp]>([
    ['a prompt is read', ['generate', '-f', 'long.txt', '--context', '60000', '-n', '5'], /reading/],
    ['a law is measured', ['measure', '--text', 'long.txt', '--tokens', '40000', '--context', '60000'], /measuring/],
    ['policies are compared', ['eval', '--text', 'long.txt', '--tokens', '40000', '--context', '60000'], /reading/],
    ['a demo runs', ['demo', '--tokens', '50000'], /reading/],
    ['claims are tried', ['claims'], /Gaussian rows/],
    ['methods are tried', ['methods'], /trying/],
  ])('Ctrl-C while %s ends the command, and leaves the terminal as it was', async (_, args, bar) => {
    const { code, output } = await inTerminal(withFiles(args), { interruptAt: bar });
    expect(code).toBe(130);
    // The bar was there, without a cursor.
    expect(output).toContain('\x1b[?25l');
    expect(isRestored(output)).toBe(true);
    expect(output).toContain('Interrupted');
    expect(output).not.toMatch(/\n\s+at /);
  });

  it('Ctrl-C while a model is prepared ends the command too', async () => {
    const env = { KEYSIEVE_CACHE: file('interrupted') };
    const { code, output } = await inTerminal(['inspect'], { env, interruptAt: /preparing/ });
    expect([code, isRestored(output)]).toEqual([130, true]);
    expect(output).not.toMatch(/\n\s+at /);
  });

  it('an error while a bar is drawn stands on a line of its own, and leaves the terminal as it was', async () => {
    const model = file('nan.gguf');
    await writeFile(model, await readFile(NANO));
    const damaged = await open(model, 'r+');
    const { size } = await damaged.stat();
    await damaged.write(Buffer.alloc(4096, 0xff), 0, 4096, size - 4096);
    await damaged.close();
    const env = { KEYSIEVE_CACHE: file('damaged') };
    const { code, output } = await inTerminal(['generate', '-m', model, '-p', 'Hi'], { env });
    expect([code, isRestored(output)]).toEqual([1, true]);
    expect(linesOf(output).at(-1)).toMatch(/^keysieve: .* \[[a-z-]+\]$/);
  });

  it.each<[number, string[]]>([
    [80, ['inspect']],
    [40, ['inspect']],
    [40, ['models']],
    [80, ['demo', '--tokens', '2000']],
    [40, ['demo', '--tokens', '2000']],
    [40, ['eval', '--task', 'recall', '--lengths', '300', '--depths', '1']],
    [80, ['eval', '--text', 'short.txt', '--tokens', '600', '--eval-tokens', '8']],
    [40, ['generate', '-n', '8', 'The king said']],
    [60, ['serve', '--help']],
    [48, ['generate', '--help']],
    [40, ['cache', '--help']],
  ])('no line is wider than %i columns: %j', async (columns, args) => {
    const { code, output } = await inTerminal(withFiles(args), { columns });
    expect(code).toBe(0);
    const paths = (line: string) => line.includes('/');
    expect(linesOf(output).filter((line) => line.length > columns && !paths(line))).toEqual([]);
  });

  it.each([40, 80])('bars of %i columns have their figures, on one line', async (columns) => {
    const env = { KEYSIEVE_CACHE: file(`columns-${columns}`) };
    const { code, output } = await inTerminal(
      withFiles(['generate', '-f', 'short.txt', '--context', '20000', '-n', '2']),
      {
        columns,
        env,
      },
    );
    expect(code).toBe(0);
    const bars = linesOf(output).filter((line) => /%/.test(line) && /prepar|load|choos|reading/.test(line));
    expect(bars.length).toBeGreaterThan(3);
    for (const bar of bars) {
      expect(bar.length).toBeLessThanOrEqual(columns);
      expect(bar).toMatch(/\b\d+ %/);
    }
  });
});
