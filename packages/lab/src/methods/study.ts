/** The whole gallery: every method on planted data, on input that must fail, and on captured heads. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { registerBaselines } from '../baselines/index.ts';
import { benchAttention } from '../bench/attention.ts';
import { readCapture } from '../captures/read-capture.ts';
import { packageVersion } from '../package-file.ts';
import type { Cell, CellResult, ComputeCell, ResultOf } from '../results/cell.ts';
import { type Run, runAlone } from '../results/run.ts';
import type { RunSettings } from '../results/saved-results.ts';
import { type Work, type WorkOptions, workOf, yieldToEventLoop } from '../work.ts';
import { METHODS } from './index.ts';
import { cardOf, type Line, type Method, type PlantedOutcome, type Reading, SIEVE, type Study } from './method.ts';
import { createRandom, invalid } from './numbers.ts';

/** A file of captured heads, and what it is called where its readings are shown. */
export interface CaptureFile {
  name: string;
  path: string;
}

export interface MethodStudyOptions extends WorkOptions {
  captures: readonly CaptureFile[];
  /** Names of methods; all of them where there are none. */
  methods: readonly string[];
  seed: number;
}

/** A study as plain data: what its document is made from, beside the results of its cells. */
export interface MethodPlan {
  kind: 'methods';
  run: RunSettings;
  seed: number;
  captures: { file: string; hash: string }[];
  /** Names of methods. */
  methods: string[];
}

/** A claim on planted data, the product's policies on captured heads, or a method on them. */
export interface MethodCell extends Cell {
  readonly step: { planted: string } | { policies: number } | { reading: string; captures: number };
}

export interface MethodResult {
  method: Method;
  planted: PlantedOutcome;
  failing: PlantedOutcome;
  /** One for each file of captures. */
  readings: { captures: string; reading: Reading }[];
}

/** One file of captures, as it was read. */
export interface CaptureSummary {
  file: string;
  /** Query heads, and keys of the longest one. */
  heads: number;
  keys: number;
  policies: readonly Line[];
}

/** The methods that were tried, with their outcomes. */
export interface MethodStudy {
  seed: number;
  captures: CaptureSummary[];
  results: MethodResult[];
}

/** Policies that the pictures compare with, at these budgets. */
const POLICIES = { sieve: SIEVE, 'topk-means': 'best keys and page means', quest: 'Quest' } as const;
const BUDGETS = ['fixed:64', 'fixed:128', 'fixed:256', 'fixed:512'];
/** Every Nth captured query is enough for them. */
const STRIDE = 16;

/** Runs the gallery. Throws `invalid-argument`, `file-not-found` or `invalid-file` before any long work. */
export async function runMethodStudy(options: MethodStudyOptions): Promise<MethodStudy> {
  return runAlone(await prepareMethods(options), options);
}

/** A study whose cells are still to be computed. Throws as `runMethodStudy`. */
export async function prepareMethods(options: MethodStudyOptions): Promise<Run<MethodCell, MethodStudy>> {
  const { captures, seed } = options;
  const work = workOf(options);
  createRandom(seed);
  await registerBaselines();
  const methods = chosenMethods(options.methods);
  const files = await Promise.all(
    captures.map(async ({ name, path }) => ({
      file: name,
      heads: await readCapture(path),
      hash: createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    })),
  );
  const plan: MethodPlan = {
    kind: 'methods',
    run: { version: packageVersion(), seed },
    seed,
    captures: files.map(({ file, hash }) => ({ file, hash })),
    methods: methods.map(({ name }) => name),
  };
  const compute = createMethodComputer(files, seed, work.signal);
  return {
    plan,
    cells: methodCells(plan),
    open: async () => ({ compute, async [Symbol.asyncDispose]() {} }),
    result: (resultOf) => methodResult(plan, resultOf, work.onProgress),
  };
}

/** All cells of a study. */
export function methodCells({ run, captures, methods }: MethodPlan): MethodCell[] {
  const readers = methods.filter((name) => methodNamed(name).reading !== undefined);
  return [
    ...methods.map((name) => ({ run, key: { planted: name }, tokens: 1, step: { planted: name } })),
    ...captures.flatMap(({ hash }, i) => [
      { run, key: { policies: hash }, tokens: 1, step: { policies: i } },
      ...readers.map((name) => ({
        run,
        key: { reading: name, captures: hash },
        tokens: 1,
        step: { reading: name, captures: i },
      })),
    ]),
  ];
}

/** The outcome of a study, by the results of its cells. */
export async function methodResult(
  plan: MethodPlan,
  resultOf: ResultOf<MethodCell>,
  onProgress: Work['onProgress'] = () => {},
): Promise<MethodStudy> {
  const cells = methodCells(plan);
  const results: MethodResult[] = [];
  const captures: CaptureSummary[] = [];
  for (const [done, cell] of cells.entries()) {
    const { step } = cell;
    onProgress('trying', done, cells.length);
    if ('planted' in step) {
      const { value } = await resultOf<PlantedPair>(cell);
      results.push({ method: methodNamed(step.planted), ...value, readings: [] });
    } else if ('policies' in step) {
      const { value } = await resultOf<Omit<CaptureSummary, 'file'>>(cell);
      captures.push({ file: plan.captures[step.policies]?.file as string, ...value });
    } else {
      const { value } = await resultOf<Reading>(cell);
      const reading = { captures: plan.captures[step.captures]?.file as string, reading: value };
      results.find(({ method }) => method.name === step.reading)?.readings.push(reading);
    }
  }
  onProgress('trying', cells.length, cells.length);
  return { seed: plan.seed, captures, results };
}

type PlantedPair = Pick<MethodResult, 'planted' | 'failing'>;

function createMethodComputer(
  files: readonly { heads: Study['heads'] }[],
  seed: number,
  signal: AbortSignal,
): ComputeCell<MethodCell> {
  const lines = new Map<number, Promise<Line[]>>();
  /** Error against bytes of the product's policies, which readings are compared with. */
  const policiesOn = (file: number, heads: Study['heads']): Promise<Line[]> => {
    const found = lines.get(file) ?? policyLines(heads, signal);
    lines.set(file, found);
    return found;
  };
  const headsOf = (file: number) => files[file]?.heads ?? [];
  return async ({ step }): Promise<CellResult> => {
    await yieldToEventLoop(signal);
    if ('planted' in step) {
      const method = methodNamed(step.planted);
      return timeless({ planted: method.planted(seed), failing: method.failing.planted(seed) } satisfies PlantedPair);
    }
    const file = 'policies' in step ? step.policies : step.captures;
    const heads = headsOf(file);
    const policies = await policiesOn(file, heads);
    if ('policies' in step) {
      return timeless({
        heads: heads.reduce((sum, { group }) => sum + group, 0),
        keys: Math.max(...heads.map(({ n }) => n)),
        policies,
      } satisfies Omit<CaptureSummary, 'file'>);
    }
    return timeless(methodNamed(step.reading).reading?.({ heads, seed, policies }));
  };
}

const timeless = (value: unknown): CellResult => ({ value, times: null });

const methodNamed = (name: string): Method => METHODS.find((method) => method.name === name) as Method;

function chosenMethods(names: readonly string[]): readonly Method[] {
  const unknown = names.find((name) => METHODS.every((method) => method.name !== name));
  if (unknown !== undefined) {
    const all = METHODS.map(({ name }) => name).join(', ');
    throw invalid(`Unknown method '${unknown}'.`, unknown, `Name one of ${all}.`);
  }
  return names.length === 0 ? METHODS : METHODS.filter(({ name }) => names.includes(name));
}

/** Error against bytes of policies of the product. */
async function policyLines(heads: Study['heads'], signal: AbortSignal): Promise<Line[]> {
  const specs = Object.keys(POLICIES).flatMap((policy) => BUDGETS.map((budget) => ({ policy, budget })));
  const results = await benchAttention({
    heads,
    policies: specs,
    lastQueries: Number.POSITIVE_INFINITY,
    stride: STRIDE,
    signal,
    onProgress: () => {},
  });
  return Object.entries(POLICIES).map(([policy, name]) => ({
    name,
    points: results
      .filter((result) => result.policy === policy)
      .map(({ summary }) => ({ name, cost: summary.bytesPerKey, error: summary.outputError.mean })),
  }));
}

/** One JSON object: what was run, and for each method its figures and readings. */
export const methodStudyJson = ({ seed, captures, results }: MethodStudy): object => ({
  seed,
  captures,
  methods: results.map(({ method, planted, failing, readings }) => ({
    ...cardOf(method),
    planted,
    failing: { what: method.failing.what, ...failing },
    readings,
  })),
});
