/** Answers that are kept, line by line, so that an interrupted run goes on where it was. */
import { appendFile, readFile } from 'node:fs/promises';
import { KeysieveError } from 'keysieve';
import type { RecallAnswer, RecallTask } from './recall.ts';

/** What an answer belongs to: another model, text or setting does not count. */
export interface RecallRun {
  model: string;
  filler: string;
  prefill: string;
}

interface Line extends RecallAnswer {
  run: RecallRun;
}

export interface RecallFile {
  /** The answer of a policy to a task, where it is kept already. */
  find(task: RecallTask, policy: string, budget: string | null): RecallAnswer | undefined;
  add(answers: readonly RecallAnswer[]): Promise<void>;
}

const keyOf = ({
  length,
  depth,
  others,
  seed,
  policy,
  budget,
}: RecallTask & { policy: string; budget: string | null }): string =>
  JSON.stringify([length, depth, others, seed, policy, budget]);

/** Opens or begins a file. Throws `invalid-file` where it holds something else. */
export async function openRecallFile(path: string | undefined, run: RecallRun): Promise<RecallFile> {
  const kept = new Map<string, RecallAnswer>();
  if (path !== undefined) {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    for (const [index, line] of text.split('\n').entries()) {
      if (line === '') continue;
      const { run: written, ...answer } = parse(path, index, line);
      if (JSON.stringify(written) === JSON.stringify(run)) kept.set(keyOf(answer), answer);
    }
  }
  return {
    find: (task, policy, budget) => kept.get(keyOf({ ...task, policy, budget })),
    async add(answers) {
      for (const answer of answers) kept.set(keyOf(answer), answer);
      const lines = answers.map((answer): Line => ({ ...answer, run }));
      if (path !== undefined) await appendFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    },
  };
}

function parse(path: string, index: number, line: string): Line {
  try {
    const parsed = JSON.parse(line) as Line;
    const numbers = [parsed.length, parsed.depth, parsed.others, parsed.seed, parsed.tailMass, parsed.msPerToken];
    if (numbers.every(Number.isFinite) && typeof parsed.right === 'boolean' && typeof parsed.run?.model === 'string') {
      return parsed;
    }
  } catch {
    // Said below.
  }
  throw new KeysieveError({
    code: 'invalid-file',
    problem: `${path} is not a file of answers.`,
    found: `line ${index + 1}: ${line.slice(0, 60)}`,
    remedy: 'Give another file, or remove the broken line.',
  });
}
