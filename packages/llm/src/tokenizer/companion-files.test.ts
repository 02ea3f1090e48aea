import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCompanionFiles } from './companion-files.ts';

let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'keysieve-companions-'));
});
afterAll(() => rm(root, { recursive: true }));

async function makeFolder(files: Record<string, string | Uint8Array>) {
  const folder = join(root, String(count++));
  await mkdir(folder);
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}
const read = async (files: Record<string, string | Uint8Array>) =>
  readCompanionFiles(join(await makeFolder(files), 'model.gguf'));
const chatTemplate = async (files: Record<string, string | Uint8Array>) => (await read(files)).chatTemplate();

describe('readCompanionFiles', () => {
  it('gives nothing where there is nothing', async () => {
    const files = await read({});
    expect(files.chatTemplate()).toBeUndefined();
    expect(await files.tokenizerJson()).toBeUndefined();
  });

  it('reads the tokenizer, and the template of its own file before that of the configuration', async () => {
    const config = JSON.stringify({ chat_template: 'from config' });
    const files = await read({ 'tokenizer.json': '{}', 'tokenizer_config.json': config });
    expect([await files.tokenizerJson(), files.chatTemplate()]).toEqual(['{}', 'from config']);
    expect(await chatTemplate({ 'tokenizer_config.json': config, 'chat_template.jinja': 'own file' })).toBe('own file');
  });

  it.each([
    [
      {
        chat_template: [
          { name: 'tool_use', template: 'tools' },
          { name: 'default', template: 'plain' },
        ],
      },
      'plain',
    ],
    [{ chat_template: [{ name: 'tool_use', template: 'tools' }] }, undefined],
    [{ bos_token: '<s>' }, undefined],
    [{ chat_template: 5 }, undefined],
    [null, undefined],
    [[], undefined],
  ])('takes the default template of a configuration: %j', async (config, template) => {
    expect(await chatTemplate({ 'tokenizer_config.json': JSON.stringify(config) })).toBe(template);
  });

  it('leaves a byte order mark out', async () => {
    const mark = '\uFEFF';
    expect(await chatTemplate({ 'chat_template.jinja': `${mark}{{ x }}` })).toBe('{{ x }}');
    expect(await chatTemplate({ 'tokenizer_config.json': `${mark}{"chat_template":"y"}` })).toBe('y');
    expect(await (await read({ 'tokenizer.json': `${mark}{}` })).tokenizerJson()).toBe('{}');
  });

  it('follows links, as the caches of other programs have them', async () => {
    const folder = await makeFolder({ blob: 'linked' });
    await symlink(join(folder, 'blob'), join(folder, 'chat_template.jinja'));
    expect((await readCompanionFiles(join(folder, 'model.gguf'))).chatTemplate()).toBe('linked');
  });

  it.each([
    ['tokenizer.json', Uint8Array.of(0xff, 0xfe), 'tokenizer-invalid'],
    ['tokenizer_config.json', '{', 'chat-template-invalid'],
    ['tokenizer_config.json', Uint8Array.of(0x22, 0xff), 'chat-template-invalid'],
    ['chat_template.jinja', Uint8Array.of(0xc3), 'chat-template-invalid'],
  ])('refuses a broken %s only where it is needed', async (name, content, code) => {
    const files = await read({ [name]: content });
    if (name === 'tokenizer.json') {
      expect(files.chatTemplate()).toBeUndefined();
      await expect(files.tokenizerJson()).rejects.toMatchObject({ code });
    } else {
      expect(await files.tokenizerJson()).toBeUndefined();
      expect(() => files.chatTemplate()).toThrow(expect.objectContaining({ code }));
    }
  });

  it.each(['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])(
    'waits for no pipe and reads no folder in place of %s',
    async (name) => {
      for (const make of [
        (path: string) => execFileSync('mkfifo', [path]),
        (path: string) => mkdir(path, { recursive: true }),
      ]) {
        const folder = await makeFolder({});
        await make(join(folder, name));
        const files = await readCompanionFiles(join(folder, 'model.gguf'));
        const use = async () => (name === 'tokenizer.json' ? files.tokenizerJson() : files.chatTemplate());
        await expect(use()).rejects.toMatchObject({ code: 'model-unreadable', found: expect.any(String) });
      }
    },
  );
});
