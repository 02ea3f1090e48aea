import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashOf } from './made-from.mjs';

describe('what a file is made from', () => {
  let folder;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'keysieve-made-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const write = (name, text) => writeFileSync(join(folder, name), text);
  const hashOfProgram = () => hashOf({ programs: [join(folder, 'main.ts')] });

  it('is the same after changes to comments, types, formatting and code that is not used', async () => {
    write('part.ts', 'export const used = (x: number) => x + 1;\nexport const unused = 1;\n');
    write('main.ts', "import { used } from './part.ts';\nconst result = used(2);\nconsole.log(result);\n");
    const before = await hashOfProgram();
    write(
      'part.ts',
      '/** New. */\nexport const used = (\n  x: unknown,\n) => (x as number) + 1;\nexport const unused = 2;\n',
    );
    write('main.ts', "import { used } from './part.ts';\nconst result = used(2); // Same.\n\nconsole.log(result);\n");
    expect(await hashOfProgram()).toBe(before);
  });

  it('is another after a change to what an imported file does', async () => {
    write('part.ts', 'export const used = (x: number) => x + 1;\n');
    write('main.ts', "import { used } from './part.ts';\nconsole.log(used(2));\n");
    const before = await hashOfProgram();
    write('part.ts', 'export const used = (x: number) => x + 2;\n');
    expect(await hashOfProgram()).not.toBe(before);
  });

  it('is another after a change to an input, or with another file in an input folder', async () => {
    write('data.json', '1');
    const inputs = { inputs: [join(folder, '*')] };
    const first = await hashOf(inputs);
    write('data.json', '2');
    const second = await hashOf(inputs);
    write('more.json', '2');
    expect(new Set([first, second, await hashOf(inputs)]).size).toBe(3);
  });

  it('is the same after changes to comments and spaces of a TypeScript input', async () => {
    const inputs = { inputs: [join(folder, 'input.ts')] };
    write('input.ts', '// Old.\nexport function f(): i32 { return 1; }\n');
    const before = await hashOf(inputs);
    write('input.ts', '/** New. */\nexport function f(): i32 {\n  return 1;\n}\n');
    expect(await hashOf(inputs)).toBe(before);
    write('input.ts', 'export function f(): i32 { return 2; }\n');
    expect(await hashOf(inputs)).not.toBe(before);
  });
});
