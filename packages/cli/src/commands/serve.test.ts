import { describe, expect, it } from 'vitest';
import { keysieve } from '../../test/keysieve.ts';

const MESSAGE = 'The number of amber fox is 48213. The number of amber fox is ';

describe('keysieve serve', () => {
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
