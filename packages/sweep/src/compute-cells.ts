/** Computes single cells of runs: a model that was loaded, and a context that was read, serve the next cell too. */
import {
  type Cell,
  type CellResult,
  cellsOf,
  prepareTasks,
  prepareText,
  type Run,
  type RunPlan,
  registerBaselines,
  type WorkOptions,
} from '@keysieve/lab';
import { loadModel, type Model } from '@keysieve/llm';
import { sweepError } from './errors.ts';
import type { Inputs } from './inputs.ts';

/** A cell, by its run and its index among the run's cells. */
export interface CellRequest {
  plan: RunPlan;
  index: number;
  /** Where the model may be had if the folder has it not. */
  source: string | undefined;
}

export interface CellsComputer extends AsyncDisposable {
  /** Throws `input-missing`, `cell-foreign`, and what models and evaluations throw. */
  compute(request: CellRequest): Promise<CellResult>;
}

type OpenRun = Awaited<ReturnType<Run<Cell, unknown>['open']>>;

/** Computes cells with inputs from a folder. */
export async function createCellsComputer(inputs: Inputs, work: WorkOptions): Promise<CellsComputer> {
  await registerBaselines();
  let model: { key: string; model: Model } | undefined;
  let open: { key: string; run: OpenRun } | undefined;

  async function close(): Promise<void> {
    const closing = open;
    open = undefined;
    await closing?.run[Symbol.asyncDispose]();
  }

  async function modelFor({ plan, source }: CellRequest): Promise<Model> {
    const { model: settings } = plan as Extract<RunPlan, { kind: 'text' | 'tasks' }>;
    const { hash, context, precision, threads } = settings;
    const key = JSON.stringify([hash, context, precision, threads]);
    if (model?.key === key) return model.model;
    await close();
    const previous = model;
    model = undefined;
    await previous?.model.dispose();
    const path = (await inputs.modelPath(hash)) ?? source;
    if (path === undefined) {
      throw sweepError({
        code: 'input-missing',
        problem: `The model ${settings.model} is not here.`,
        found: `no file with the SHA-256 ${hash}`,
        remedy: 'Put it into the folder of --models.',
      });
    }
    const options = { context, precision: precision as Model['precision'], threads, signal: work.signal };
    const loaded = await loadModel(path, options);
    model = { key, model: loaded };
    return loaded;
  }

  async function runFor(request: CellRequest): Promise<OpenRun> {
    const key = JSON.stringify(request.plan);
    if (open?.key === key) return open.run;
    const loaded = await modelFor(request);
    await close();
    const run = await prepare(request.plan, loaded, inputs, work);
    if (JSON.stringify(run.plan) !== key) {
      throw sweepError({
        code: 'cell-foreign',
        problem: 'This worker would compute something else than what was planned.',
        found: `version ${run.plan.run.version}, planned ${request.plan.run.version}`,
        remedy: 'Use the version of keysieve that planned the sweep, and the same model.',
      });
    }
    open = { key, run: (await run.open()) as OpenRun };
    return open.run;
  }

  return {
    async compute(request) {
      const cell = cellsOf(request.plan)?.[request.index];
      if (cell === undefined) throw new Error(`the run has no cell ${request.index}`);
      const { compute } = await runFor(request);
      return compute(cell);
    },
    async [Symbol.asyncDispose]() {
      await close();
      await model?.model.dispose();
    },
  };
}

/** A run as it was planned, over a loaded model. */
async function prepare(plan: RunPlan, model: Model, inputs: Inputs, work: WorkOptions): Promise<Run<Cell, unknown>> {
  const prepared = PREPARE[plan.kind];
  if (prepared !== undefined) return (await prepared(plan as never, model, inputs, work)) as Run<Cell, unknown>;
  throw sweepError({
    code: 'plan-invalid',
    problem: 'Sweeps have no runs of this kind.',
    found: plan.kind,
    remedy: 'Divide it into shards.',
  });
}

type Prepare<Kind extends RunPlan['kind']> = (
  plan: Extract<RunPlan, { kind: Kind }>,
  model: Model,
  inputs: Inputs,
  work: WorkOptions,
) => Promise<unknown>;

const PREPARE: { [Kind in RunPlan['kind']]?: Prepare<Kind> } = {
  text: async (plan, model, inputs, work) => {
    const { tokens, evalTokens, auditTokens, timedSteps, seed, policies, prefills, text } = plan;
    const content = await inputs.text(text.name, text.hash);
    return prepareText({
      model,
      text: { name: text.name, content },
      offset: text.offset,
      tokens,
      evalTokens,
      auditTokens,
      timedSteps,
      seed,
      policies,
      prefills,
      cachePrecision: plan.model.cachePrecision as 'f16' | 'f32' | 'int8',
      scan: plan.model.scan,
      ...work,
    });
  },
  tasks: (plan, model, _, work) => {
    const { tasks, lengths, depths, samples, chat, seed, policies, prefills, run } = plan;
    return prepareTasks({
      model,
      tasks,
      lengths,
      depths,
      samples: samples ?? undefined,
      distractors: run.distractors as number,
      chat,
      seed,
      policies,
      prefills,
      cachePrecision: plan.model.cachePrecision as 'f16' | 'f32' | 'int8',
      scan: plan.model.scan,
      ...work,
    });
  },
};
