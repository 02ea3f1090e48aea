/** Puts the results of several shards together, as one process would have computed them. */
import { labError } from '../errors.ts';
import type { Cell, ResultOf } from './cell.ts';
import { PLAN_KEY } from './run.ts';
import { type ResultLine, readResultLines, runName, writeResultLines } from './saved-results.ts';

/** Results of several files. */
export interface MergedResults {
  /** The plans of the runs that the results belong to. */
  plans: readonly { kind: string }[];
  /** Gives what was saved of a cell. Throws `results-incomplete` where nothing was. */
  resultOf: ResultOf<Cell>;
  /** Whether there is a result of a cell. */
  has(cell: Cell): boolean;
  /** Writes them into one file, the same for the same results in whatever order they came. Throws `output-unwritable`. */
  write(path: string): Promise<void>;
}

/**
 * Reads files of results. Throws `results-foreign` unless all of them are of the same runs, `results-conflict` where one
 * cell has two results, `invalid-file` and `results-version`.
 */
export async function mergeResults(paths: readonly string[]): Promise<MergedResults> {
  const files = await Promise.all(paths.map(async (path) => ({ path, lines: latestOf(await readResultLines(path)) })));
  checkPlans(files);
  const merged = new Map<string, ResultLine>();
  for (const { path, lines } of files) {
    for (const [id, line] of lines) {
      const other = merged.get(id);
      if (other === undefined) merged.set(id, line);
      else {
        if (qualityOf(line) !== qualityOf(other)) throw conflict(path, line);
        // Two machines have timed the same: whichever file comes first, the same one is kept.
        if (JSON.stringify(line.value) < JSON.stringify(other.value)) merged.set(id, line);
      }
    }
  }
  const sorted = [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
  const find = ({ run, key }: Cell) => merged.get(lineId(runName(run), JSON.stringify(key)));
  return {
    plans: sorted.filter(isPlan).map(({ value }) => value as { kind: string }),
    async resultOf(cell) {
      const line = find(cell);
      if (line === undefined) throw incomplete(JSON.stringify(cell.key));
      return line.value as Awaited<ReturnType<ResultOf>> as never;
    },
    has: (cell) => find(cell) !== undefined,
    write: (path) => writeResultLines(path, sorted),
  };
}

/** Throws `results-incomplete` unless every cell has a result. */
export function checkComplete(merged: Pick<MergedResults, 'has'>, cells: readonly Cell[]): void {
  const missing = cells.filter((cell) => !merged.has(cell));
  const [first] = missing;
  if (first === undefined) return;
  throw incomplete(`${missing.length} of ${cells.length} are missing, the first one ${JSON.stringify(first.key)}`);
}

const lineId = (run: string, key: string): string => `${run} ${key}`;
const isPlan = ({ key }: ResultLine): boolean => key === JSON.stringify(PLAN_KEY);
/** The result of a cell without what a clock has measured. */
const qualityOf = ({ value }: ResultLine): string => {
  const isTimed = typeof value === 'object' && value !== null && 'times' in value;
  return JSON.stringify(isTimed ? { ...value, times: null } : value);
};

/** The last line of each cell: results that were kept again stand in place of earlier ones. */
const latestOf = (lines: readonly ResultLine[]): Map<string, ResultLine> =>
  new Map(lines.map((line) => [lineId(line.run, line.key), line]));

function checkPlans(files: readonly { path: string; lines: ReadonlyMap<string, ResultLine> }[]): void {
  const plansOf = ({ lines }: (typeof files)[number]) =>
    [...lines.values()]
      .filter(isPlan)
      .map(({ value }) => JSON.stringify(value))
      .sort();
  const [first, ...others] = files;
  if (first === undefined) return;
  const plans = plansOf(first);
  const foreign = others.find((file) => plansOf(file).join('\n') !== plans.join('\n'));
  if (foreign !== undefined) {
    throw labError({
      code: 'results-foreign',
      problem: `${foreign.path} does not belong to the same run as ${first.path}.`,
      found: differenceOf(plans, plansOf(foreign)),
      remedy: 'Merge the shards of one run: the same model, texts, settings, threads and version of keysieve.',
    });
  }
  const kinds = plans.map((plan) => (JSON.parse(plan) as { kind: string }).kind);
  if (kinds.length > 0 && new Set(kinds).size === kinds.length) return;
  throw labError({
    code: 'results-foreign',
    problem: `${first.path} holds the results of ${kinds.length === 0 ? 'no run' : 'several runs'}, of which no one report can be made.`,
    found: kinds.join(', ') || 'no plan',
    remedy: 'Give every run a file of its own.',
  });
}

/** The settings in which the first two plans that are not equal differ. */
function differenceOf(plans: readonly string[], others: readonly string[]): string {
  if (plans.length !== others.length) return `${others.length} runs, not ${plans.length}`;
  const i = plans.findIndex((plan, at) => plan !== others[at]);
  const [one, other] = [plans[i], others[i]].map((text = '{}') => JSON.parse(text) as Record<string, unknown>);
  const flat = (plan: Record<string, unknown> = {}) =>
    ({ ...plan, ...(plan.run as object) }) as Record<string, unknown>;
  const names = Object.keys(flat(one)).filter(
    (name) => name !== 'run' && JSON.stringify(flat(one)[name]) !== JSON.stringify(flat(other)[name]),
  );
  return `other settings: ${names.join(', ')}`;
}

const conflict = (path: string, { key }: ResultLine) =>
  labError({
    code: 'results-conflict',
    problem: `${path} has another result for a cell than the files before it.`,
    found: key.slice(0, 200),
    remedy: 'Processors of different kinds round differently: compute a cell on one of them, and merge one file of it.',
  });

const incomplete = (found: string) =>
  labError({
    code: 'results-incomplete',
    problem: 'Some cells of the run have no result yet.',
    found,
    remedy: 'Run the shards that are missing, and merge their files as well.',
  });
