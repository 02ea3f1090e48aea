/**
 * Loads XGrammar (Apache-2.0; C++ compiled to WebAssembly, in one script without dependencies). Its package says that it
 * holds an ES module, but the script in it is written for `require`, so neither `import` nor `require` loads it; it is
 * evaluated here as what it is. Each call gives an instance of its own: a schema that it cannot take aborts the whole
 * instance, and what it prints then, which quotes the schema, must not reach the terminal.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type { XGrammar, XGrammarInstance } from '../platform.ts';

const require = createRequire(import.meta.url);
let source: Promise<string> | undefined;

export async function loadXGrammar(): Promise<XGrammarInstance> {
  const path = require.resolve('@mlc-ai/web-xgrammar');
  source ??= readScript(path);
  let message = '';
  const print = (...values: unknown[]) => {
    const text = values.join(' ');
    if (!text.startsWith('Aborted')) message = text;
  };
  const quiet = { log: print, info: print, warn: print, error: print };
  const names = ['exports', 'module', 'require', '__filename', 'console'];
  const evaluate = compileFunction(await source, names, { filename: path });
  const exports = {};
  evaluate(exports, { exports }, require, path, quiet);
  return { library: exports as XGrammar, lastMessage: () => message };
}

/** The script, with `require` in place of the one `import()` in it, which a function that is compiled so cannot call. */
const readScript = async (path: string): Promise<string> =>
  (await readFile(path, 'utf8')).replaceAll("await import('module')", "require('node:module')");
