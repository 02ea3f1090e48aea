/** What tests in a page ask Node for. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const PROGRAM = fileURLToPath(new URL('generate-in-node.mjs', import.meta.url));

/** What a model says in Node on a prompt, in the precision fp32. */
export async function generateInNode(_: unknown, prompt: string, options: object): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'keysieve-generate-'));
  try {
    const request = join(folder, 'request.json');
    await writeFile(request, JSON.stringify({ prompt, ...options }));
    const args = ['--import', 'tsx', '--conditions', 'keysieve-source', PROGRAM, request];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, NODE_OPTIONS: '' } });
    return JSON.parse(stdout);
  } finally {
    await rm(folder, { recursive: true });
  }
}
