/** `inspect` predicts what `generate` then takes. */
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { sharedFile } from '../../llm/test/shared.ts';

const MODEL = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
const TEXT = sharedFile('texts/war-and-peace.txt');
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** As people run it: what compiles sources on the fly takes memory of its own. */
const COMMAND = join(ROOT, 'packages/cli/bin/keysieve.mjs');

async function keysieve(...args: string[]) {
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [COMMAND, ...args]);
  return JSON.parse(stdout);
}

it.skipIf(!MODEL || !TEXT)('memory is what inspect predicts, within 15 %', async () => {
  const prompt = join(tmpdir(), `keysieve-memory-${process.pid}.txt`);
  const context = '2048';
  try {
    await promisify(execFile)('npm', ['run', 'build'], { cwd: ROOT });
    await writeFile(prompt, (await readFile(TEXT as string, 'utf8')).slice(5000, 12_500));
    const common = [
      '--json',
      '--model',
      MODEL as string,
      '--context',
      context,
      '--precision',
      'w8a8',
      '--threads',
      '2',
    ];
    const { memory: predicted } = await keysieve('inspect', ...common);
    const result = await keysieve('generate', ...common, '--prompt-file', prompt, '-n', '16');
    // The prediction is for a full context; the prompt leaves some of it.
    const unused = predicted.cachePerToken * (Number(context) - result.promptTokens);
    expect(result.memory.residentBytes / (predicted.total - unused)).toBeGreaterThan(0.85);
    expect(result.memory.residentBytes / (predicted.total - unused)).toBeLessThan(1.15);
  } finally {
    await rm(prompt, { force: true });
  }
});
