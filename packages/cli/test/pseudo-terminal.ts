/** The command in a pseudo terminal, made by util-linux's `script`: with bars, a cursor, and Ctrl-C as a person presses it. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const INTERRUPT = '\x03';

/** Whether there is a `script` that can run a command and return its exit code. */
export const hasPseudoTerminal = spawnSync('script', ['-qec', 'exit 7', '/dev/null']).status === 7;
if (!hasPseudoTerminal) console.warn('skipped: needs the command script of util-linux, which is not there');

export interface TerminalOptions {
  columns?: number;
  env?: Record<string, string>;
  /** Presses Ctrl-C once the terminal shows this. */
  interruptAt?: RegExp;
}

export interface TerminalResult {
  code: number | null;
  /** All that the terminal was sent, escapes too. */
  output: string;
}

/** Runs `keysieve` from its sources. */
export function inTerminal(args: string[], options: TerminalOptions = {}): Promise<TerminalResult> {
  const { columns = 80, env = {}, interruptAt } = options;
  const node = [process.execPath, '--conditions', 'keysieve-source', '--import', 'tsx', MAIN, ...args];
  const command = `stty cols ${columns} rows 24; exec ${node.map((part) => `'${part}'`).join(' ')}`;
  return new Promise((resolve) => {
    const child = spawn('script', ['-qec', command, '/dev/null'], { env: { ...process.env, ...env } });
    let output = '';
    let interrupted = false;
    child.stdout.on('data', (data) => {
      output += data;
      if (interrupted || interruptAt === undefined || !interruptAt.test(output)) return;
      interrupted = true;
      child.stdin.write(INTERRUPT);
    });
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** What a terminal shows of every redrawing of a line, without escapes. */
export const linesOf = (output: string): string[] =>
  output
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is looked for
    .split(/\r|\n|\x1b\[\d*G/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    .map((line) => line.replace(/\x1b\[[?\d;]*[a-zA-Z]/g, ''))
    .filter((line) => line.trim() !== '');

/** Whether the terminal was left with its cursor shown, and wrapping lines. */
export function isRestored(output: string): boolean {
  const last = (mode: string) => output.lastIndexOf(`\x1b[?${mode}`);
  return last('25l') <= last('25h') && last('7l') <= last('7h');
}
