/** Plans of sweeps: a YAML file that names models, texts, lengths, policies and budgets, and the runs that follow from it. */
import { createHash } from 'node:crypto';
import { basename, dirname, resolve } from 'node:path';
import { prepareTasks, prepareText, type RunPlan, readInput, registerBaselines, taskOf } from '@keysieve/lab';
import { createTokenizer, hashFile, inspectModel, type Model, openGguf, readPromptFile } from '@keysieve/llm';
import { createPolicy, type PolicySpec } from 'keysieve';
import { parse } from 'yaml';
import { z } from 'zod';
import { sweepError } from './errors.ts';

const count = z.int().positive();
const counts = z.array(count).min(1);

const PLAN = z
  .strictObject({
    /** nano, PATH.gguf (beside the plan), or hf:OWNER/REPO/FILE. */
    models: z.array(z.string()).min(1),
    precision: z.enum(['fp32', 'a8', 'w8a8']).default('fp32'),
    cachePrecision: z.enum(['f16', 'f32', 'int8']).optional(),
    threads: count.default(1),
    context: count.optional(),
    /** POLICY, with every budget, or POLICY@BUDGET. */
    policies: z.array(z.string()).min(1),
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
  })
  .refine(({ text, tasks }) => text !== undefined || tasks !== undefined, 'has neither text nor tasks');

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

/** The runs of a plan: one for each model, text, length and seed. Paths are relative to the folder. */
export async function planSweep(plan: PlanFile, folder: string): Promise<Sweep> {
  await registerBaselines();
  const specs = plan.policies.flatMap((policy) => specsOf(policy, plan.budgets));
  const prefills = plan.prefills.flatMap((policy) => specsOf(policy, []));
  plan.tasks?.names.forEach(taskOf);
  const texts = await Promise.all(
    (plan.text?.files ?? []).map(async (file) => ({
      name: basename(file),
      content: await readPromptFile(resolve(folder, file)),
    })),
  );
  const runs: RunPlan[] = [];
  const sources: Sweep['sources'] = {};
  for (const source of plan.models) {
    const isNamed = source === 'nano' || source.startsWith('hf:');
    await using model = await describeModel(isNamed ? source : resolve(folder, source), plan);
    if (isNamed) sources[await model.hash()] = source;
    const shared = { model, policies: specs, prefills, cachePrecision: plan.cachePrecision };
    for (const seed of plan.seeds) {
      if (plan.text !== undefined) {
        const { lengths, files: _, ...options } = plan.text;
        for (const text of texts) {
          for (const tokens of lengths) {
            checkLength(tokens, model.contextLength, source);
            runs.push((await prepareText({ ...shared, ...options, text, tokens, seed })).plan as RunPlan);
          }
        }
      }
      if (plan.tasks !== undefined) {
        const { names: tasks, samples, ...options } = plan.tasks;
        for (const length of options.lengths) checkLength(length, model.contextLength, source);
        runs.push((await prepareTasks({ ...shared, ...options, tasks, samples, seed })).plan as RunPlan);
      }
    }
  }
  const id = createHash('sha256').update(JSON.stringify(runs)).digest('hex').slice(0, 12);
  return { id, runs, sources };
}

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
