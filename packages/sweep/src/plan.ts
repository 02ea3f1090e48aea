/** Plans of sweeps: a YAML file that names models, texts, lengths, policies and budgets, and the runs that follow from it. */
import { createHash } from 'node:crypto';
import { basename, dirname, resolve } from 'node:path';
import {
  type Cell,
  type NamedText,
  prepareLaw,
  prepareMethods,
  prepareTasks,
  prepareText,
  type Run,
  type RunPlan,
  readInput,
  registerBaselines,
  taskOf,
} from '@keysieve/lab';
import { createTokenizer, hashFile, inspectModel, type Model, openGguf, readPromptFile } from '@keysieve/llm';
import { createPolicy, type PolicySpec } from 'keysieve';
import { parse } from 'yaml';
import { z } from 'zod';
import { sweepError } from './errors.ts';

const count = z.int().positive();
const counts = z.array(count).min(1);

/** What a plan may ask for. */
const KINDS = ['text', 'tasks', 'measure', 'methods'] as const;

const PLAN = z
  .strictObject({
    /** nano, PATH.gguf (beside the plan), or hf:OWNER/REPO/FILE. */
    models: z.array(z.string()).default([]),
    precision: z.enum(['fp32', 'a8', 'w8a8']).default('fp32'),
    cachePrecision: z.enum(['f16', 'f32', 'int8']).optional(),
    threads: count.default(1),
    context: count.optional(),
    /** POLICY, with every budget, or POLICY@BUDGET. */
    policies: z.array(z.string()).default([]),
    budgets: z.array(z.string()).default([]),
    prefills: z.array(z.string()).min(1).default(['dense']),
    seeds: z.array(z.int().nonnegative()).min(1).default([1]),
    text: z
      .strictObject({
        files: z.array(z.string()).min(1),
        lengths: counts,
        offset: z.int().nonnegative().default(0),
        evalTokens: count.default(128),
        auditTokens: count.default(16),
        timedSteps: z.int().nonnegative().default(0),
      })
      .optional(),
    tasks: z
      .strictObject({
        names: z.array(z.string()).min(1),
        lengths: counts,
        depths: count.default(10),
        samples: count.optional(),
        distractors: z.int().nonnegative().default(0),
        chat: z.boolean().default(false),
      })
      .optional(),
    /** The laws of the models' heads. */
    measure: z
      .strictObject({
        files: z.array(z.string()).min(1),
        tokens: count.default(8192),
        offset: z.int().nonnegative().default(0),
        lengths: counts.optional(),
        samples: count.default(32),
        fitTo: count.optional(),
      })
      .optional(),
    /** The systems of the literature, which need no model. */
    methods: z
      .strictObject({ names: z.array(z.string()).default([]), captures: z.array(z.string()).default([]) })
      .optional(),
  })
  .refine((plan) => KINDS.some((kind) => plan[kind] !== undefined), `has none of ${KINDS.join(', ')}`)
  .refine(
    ({ models, text, tasks, measure }) => models.length > 0 || (text ?? tasks ?? measure) === undefined,
    'names no models',
  )
  .refine(
    ({ policies, text, tasks }) => policies.length > 0 || (text ?? tasks) === undefined,
    'names no policies to evaluate',
  );

/** A plan as its file says it, with every default in its place. */
export type PlanFile = z.infer<typeof PLAN>;

/** A sweep that can be queued. */
export interface Sweep {
  /** Follows from the runs: the same plan over the same inputs has the same one. */
  id: string;
  runs: RunPlan[];
  /** Where models may be had that no folder has, by their SHA-256: `nano` or `hf:...`. */
  sources: Record<string, string>;
}

/** Reads a plan, and all that it names, so that what cannot be computed is known before anything is queued. Throws `plan-invalid`, and what models, texts and evaluations throw. */
export async function readSweep(path: string): Promise<Sweep> {
  const text = await readInput(path);
  return planSweep(parsePlan(text, path), dirname(resolve(path)));
}

/** The plan in a file's text. Throws `plan-invalid`. */
export function parsePlan(text: string, path: string): PlanFile {
  try {
    return PLAN.parse(parse(text));
  } catch (cause) {
    const found = cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : String(cause);
    throw sweepError({
      code: 'plan-invalid',
      problem: `${path} is no plan of a sweep.`,
      found: found.slice(0, 500),
      remedy: 'docs/many-machines.md has an example.',
      cause,
    });
  }
}

/**
 * The runs of a plan: for each seed one of methods, and for each model and seed one for each text and length, one of all
 * tasks and one of laws. Paths are relative to the folder.
 */
export async function planSweep(plan: PlanFile, folder: string): Promise<Sweep> {
  await registerBaselines();
  const shared: SharedOptions = {
    policies: plan.policies.flatMap((policy) => specsOf(policy, plan.budgets)),
    prefills: plan.prefills.flatMap((policy) => specsOf(policy, [])),
    cachePrecision: plan.cachePrecision,
  };
  plan.tasks?.names.forEach(taskOf);
  const texts = await readTexts(plan.text?.files ?? [], folder);
  const measured = await readTexts(plan.measure?.files ?? [], folder);
  const runs: Planned[] = [];
  const sources: Sweep['sources'] = {};
  for (const source of plan.models) {
    const isNamed = source === 'nano' || source.startsWith('hf:');
    await using model = await describeModel(isNamed ? source : resolve(folder, source), plan);
    if (isNamed) sources[await model.hash()] = source;
    const lengths = [...(plan.text?.lengths ?? []), ...(plan.tasks?.lengths ?? []), plan.measure?.tokens ?? 0];
    for (const length of lengths) checkLength(length, model.contextLength, source);
    for (const seed of plan.seeds) {
      runs.push(...(await textRuns(plan, { ...shared, model, seed }, texts)));
      if (plan.tasks !== undefined) {
        const { names: tasks, ...options } = plan.tasks;
        runs.push(await prepareTasks({ ...shared, ...options, model, seed, tasks }));
      }
      if (plan.measure !== undefined) {
        const { files: _, fitTo: fittedTo, ...options } = plan.measure;
        runs.push(await prepareLaw({ ...options, model, seed, texts: measured, fittedTo }));
      }
    }
  }
  if (plan.methods !== undefined) {
    const { names: methods, captures: paths } = plan.methods;
    const captures = paths.map((path) => ({ name: basename(path), path: resolve(folder, path) }));
    for (const seed of plan.seeds) runs.push(await prepareMethods({ captures, methods, seed }));
  }
  const plans = runs.map((run) => run.plan as RunPlan);
  const id = createHash('sha256').update(JSON.stringify(plans)).digest('hex').slice(0, 12);
  return { id, runs: plans, sources };
}

/** A run of which only the plan is wanted here. */
type Planned = Pick<Run<Cell, unknown>, 'plan'>;

/** What evaluations of texts and of tasks have in common. */
interface SharedOptions {
  policies: PolicySpec[];
  prefills: PolicySpec[];
  cachePrecision: PlanFile['cachePrecision'];
}

/** A run for each text and length. */
async function textRuns(
  { text: options }: PlanFile,
  shared: SharedOptions & { model: Model; seed: number },
  texts: readonly NamedText[],
): Promise<Planned[]> {
  if (options === undefined) return [];
  const { lengths, files: _, ...rest } = options;
  const runs: Planned[] = [];
  for (const text of texts) {
    for (const tokens of lengths) runs.push(await prepareText({ ...shared, ...rest, text, tokens }));
  }
  return runs;
}

const readTexts = (files: readonly string[], folder: string): Promise<NamedText[]> =>
  Promise.all(
    files.map(async (file) => ({ name: basename(file), content: await readPromptFile(resolve(folder, file)) })),
  );

/** The policies that a text names: with every budget where it names none, and the policy has one. */
function specsOf(text: string, budgets: readonly string[]): PolicySpec[] {
  const [policy = '', ...named] = text.split('@');
  const hasBudget = createPolicy({ policy }).budget !== undefined;
  const all = named.length > 0 ? [named.join('@')] : budgets;
  const specs: PolicySpec[] = hasBudget && all.length > 0 ? all.map((budget) => ({ policy, budget })) : [{ policy }];
  for (const spec of specs) createPolicy(spec);
  return specs;
}

/** Room for an answer, beside the tokens of its prompt. */
function checkLength(tokens: number, contextLength: number, model: string): void {
  if (tokens <= contextLength) return;
  throw sweepError({
    code: 'plan-invalid',
    problem: `A length is longer than the context of ${model}.`,
    found: `${tokens} tokens of ${contextLength}`,
    remedy: 'Give a longer context, or take a shorter length.',
  });
}

/** What planning asks of a model; its weights are not loaded, and no session can be created. */
async function describeModel(source: string, plan: PlanFile): Promise<Model> {
  const { precision, threads, context } = plan;
  const attention = { policy: 'dense' };
  const {
    name,
    path,
    config,
    context: described,
  } = await inspectModel(source, {
    precision,
    threads,
    context,
    attention,
  });
  const gguf = await openGguf(path);
  let hash: string | undefined;
  const model: Partial<Model> = {
    name,
    path,
    config,
    tokenizer: createTokenizer(gguf),
    contextLength: described.tokens,
    precision,
    threads,
    async hash(signal) {
      hash ??= await hashFile(path, { signal });
      return hash;
    },
    [Symbol.asyncDispose]: async () => gguf.close(),
  };
  return model as Model;
}
