import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { keysieve } from '../../test/keysieve.ts';

const MESSAGE = 'The number of amber fox is 48213. The number of amber fox is ';

describe('keysieve serve', () => {
  it('says so where its port is taken, or is none', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const taken = await keysieve(['serve', '--port', String(port)]);
    other.close();
    expect(taken.code).toBe(1);
    expect(taken.stderr).toMatch(/^keysieve: .*EADDRINUSE.*\[address-unavailable\]$/m);
    expect(taken.stderr).not.toMatch(/unexpected|\n\s+at /);
    const none = await keysieve(['serve', '--port', '65536']);
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('65535; 0 takes a free one')]);
  });

  it('answers until Ctrl-C, and then ends as it should', async () => {
    let request: Promise<unknown> | undefined;
    const args = ['serve', '--model', 'tiny=nano', '--precision', 'fp32', '--context', '1024', '--port', '0'];
    const { code, stdout, stderr } = await keysieve(args, '', (text, interrupt) => {
      if (request !== undefined || !text.includes('Ready.')) return;
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
      const body = JSON.stringify({ model: 'tiny', prompt: MESSAGE, max_tokens: 5, temperature: 0 });
      const headers = { 'Content-Type': 'application/json' };
      request = fetch(`${url}/v1/completions`, { method: 'POST', headers, body })
        .then((response) => response.json())
        .finally(interrupt);
    });
    expect(await request).toMatchObject({ model: 'tiny', choices: [{ text: '48213' }] });
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toContain('Stopping');
  });

  it.each([
    ['an address that others reach, without a key', ['--host', '0.0.0.0']],
    ['two models of one name', ['--model', 'a=nano', '--model', 'a=nano']],
    ['a law', ['--law', 'law.json']],
  ])('exits with 2 for %s', async (_, args) => {
    const { code, stderr } = await keysieve(['serve', '--port', '0', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain('[invalid-argument]');
  });

  it.each([
    ['model-not-found', ['--model', 'nowhere.gguf']],
    ['cache-folder-unwritable', ['--cache-dir', '/dev/null/prompts']],
  ])('says what is wrong and ends: %s', async (expected, args) => {
    const { code, stderr } = await keysieve(['serve', '--port', '0', ...args]);
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`^keysieve: .*\\[${expected}\\]$`, 'm'));
    expect(stderr).not.toMatch(/unexpected|"stack"/);
  });
});
