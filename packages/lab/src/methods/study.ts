/** The whole gallery: every method on planted data, on input that must fail, and on captured heads. */
import { basename } from 'node:path';
import { registerBaselines } from '../baselines/index.ts';
import { benchAttention } from '../bench/attention.ts';
import { readCapture } from '../captures/read-capture.ts';
import { METHODS } from './index.ts';
import { cardOf, type Line, type Method, type PlantedOutcome, type Reading, SIEVE, type Study } from './method.ts';
import { createRandom, invalid } from './numbers.ts';

export interface MethodStudyOptions {
  /** Files of captured heads. */
  captures: readonly string[];
  /** Names of methods; all of them where there are none. */
  methods: readonly string[];
  seed: number;
  signal: AbortSignal;
  /** Steps that are done, of all, and what the next one is. */
  onProgress(done: number, total: number, what: string): void;
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
  const { captures, seed, signal, onProgress } = options;
  createRandom(seed);
  await registerBaselines();
  const methods = chosenMethods(options.methods);
  const files = await Promise.all(
    captures.map(async (path) => ({ file: basename(path), heads: await readCapture(path) })),
  );
  const readers = methods.filter(({ reading }) => reading !== undefined);
  const total = methods.length + files.length * (1 + readers.length);
  let done = 0;
  const step = async (what: string) => {
    onProgress(done++, total, what);
    // Lets an interrupt be heard.
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  };
  const results: MethodResult[] = [];
  for (const method of methods) {
    await step(method.name);
    results.push({ method, planted: method.planted(seed), failing: method.failing.planted(seed), readings: [] });
  }
  const summaries: CaptureSummary[] = [];
  for (const { file, heads } of files) {
    await step(`policies on ${file}`);
    const study: Study = { heads, seed, policies: await policyLines(heads, signal) };
    summaries.push({
      file,
      heads: heads.reduce((sum, { group }) => sum + group, 0),
      keys: Math.max(...heads.map(({ n }) => n)),
      policies: study.policies,
    });
    for (const { method, readings } of results) {
      if (method.reading === undefined) continue;
      await step(`${method.name} on ${file}`);
      readings.push({ captures: file, reading: method.reading(study) });
    }
  }
  onProgress(total, total, '');
  return { seed, captures: summaries, results };
}

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
