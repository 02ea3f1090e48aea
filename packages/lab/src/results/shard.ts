/** Shards: the shares of a run's cells that several processes compute, each without knowing of the others. */
import { labError } from '../errors.ts';
import type { Cell } from './cell.ts';

/** One of several shares: `index` counts from 1 to `count`. */
export interface Shard {
  index: number;
  count: number;
}

/** Variables in which schedulers tell a task which of an array it is. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads `2/8`, the second of eight shares; `auto/8`, whose index a scheduler tells (`JOB_COMPLETION_INDEX` of Kubernetes,
 * counted from 0; `SLURM_ARRAY_TASK_ID` of Slurm, from `SLURM_ARRAY_TASK_MIN` or else 0); or `auto`, where Slurm tells
 * the number of tasks as well. Throws `invalid-argument`.
 */
export function parseShard(text: string, environment: Environment): Shard {
  const [, indexText = '', countText] = /^(\d+|auto)(?:\/(\d+))?$/.exec(text) ?? [];
  const isAutomatic = indexText === 'auto';
  const count = Number(countText ?? (isAutomatic ? environment.SLURM_ARRAY_TASK_COUNT : undefined));
  const index = isAutomatic ? indexOf(environment) : Number(indexText);
  const isValid = Number.isSafeInteger(count) && count > 0 && Number.isSafeInteger(index) && index >= 1;
  if (isValid && index <= count) return { index, count };
  const indexVariables = [
    'JOB_COMPLETION_INDEX',
    'SLURM_ARRAY_TASK_ID',
    'SLURM_ARRAY_TASK_MIN',
    'SLURM_ARRAY_TASK_COUNT',
  ]
    .filter((name) => environment[name] !== undefined)
    .map((name) => `${name}=${environment[name]}`);
  throw labError({
    code: 'invalid-argument',
    problem: 'That is no share of a run.',
    found: [text, ...(isAutomatic ? indexVariables : [])].join(', '),
    remedy: 'Write 2/8 for the second of eight, or auto/8 where Kubernetes or Slurm tells the index.',
  });
}

function indexOf({ JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID, SLURM_ARRAY_TASK_MIN = '0' }: Environment): number {
  if (JOB_COMPLETION_INDEX !== undefined) return 1 + Number(JOB_COMPLETION_INDEX);
  return 1 + Number(SLURM_ARRAY_TASK_ID ?? Number.NaN) - Number(SLURM_ARRAY_TASK_MIN);
}

/**
 * The cells of a shard: consecutive ones, which share what was read, with about the same number of tokens in every
 * shard. Every cell is in one shard.
 */
export function cellsOfShard<C extends Pick<Cell, 'tokens'>>(cells: readonly C[], { index, count }: Shard): C[] {
  const total = cells.reduce((sum, { tokens }) => sum + tokens, 0);
  let before = 0;
  return cells.filter(({ tokens }) => {
    const middle = before + tokens / 2;
    before += tokens;
    return Math.min(count, 1 + Math.floor((middle / total) * count)) === index;
  });
}
