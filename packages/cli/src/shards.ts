/** `--shard`: runs whose work several processes share, each with a file of its own that `keysieve merge` reads. */
import { type Cell, parseShard, type Run, runAlone, runShard, type Shard, type Work } from '@keysieve/lab';
import { llmError } from '@keysieve/llm';
import { type Command, InvalidArgumentError } from 'commander';
import { note } from './terminal.ts';

export interface ShardFlags {
  shard?: Shard;
  save?: string;
}

/** --save, --shard */
export function addShardOptions(command: Command): Command {
  return command
    .option('--save <file>', 'keep results in this file, and continue from it, with the same options and --threads')
    .option(
      '--shard <share>',
      'compute one share of the work only, 2/8 for the second of eight, into --save: see keysieve merge; auto/8 takes ' +
        'its index from Kubernetes or Slurm',
      (text: string) => {
        try {
          return parseShard(text, process.env);
        } catch (error) {
          throw new InvalidArgumentError((error as Error).message);
        }
      },
    );
}

/** Throws `invalid-argument` unless a shard says all that its results depend on, and where to keep them. */
export function checkShard({ shard, save }: ShardFlags, model?: { precision: unknown; threads: unknown }): void {
  if (shard === undefined) return;
  const missing = [
    ...(save === undefined ? ['--save'] : []),
    ...(model !== undefined && model.precision === undefined ? ['--precision'] : []),
    ...(model !== undefined && model.threads === undefined ? ['--threads'] : []),
  ];
  if (missing.length === 0) return;
  throw llmError({
    code: 'invalid-argument',
    problem: 'Shards of one run must agree on what its results depend on, and keep them in a file.',
    found: `--shard without ${missing.join(', ')}`,
    remedy: `Give ${missing.join(', ')} as well.`,
  });
}

/** Computes a share of a run, and says so; the whole of it, and gives its result, where none is asked for. */
export async function runOrShard<C extends Cell, Result>(
  run: Run<C, Result>,
  { shard, save }: ShardFlags,
  work: Work,
): Promise<Result | undefined> {
  if (shard === undefined || save === undefined) return runAlone(run, { save, ...work });
  const { cells, found, total } = await runShard(run, shard, { save, ...work });
  const before = found > 0 ? `, ${found} of them from before` : '';
  note(`${cells} of ${total} cells are in ${save}${before}. When all shards are done: keysieve merge FILES.`);
  return undefined;
}
