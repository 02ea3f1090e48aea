/** Computes single cells of runs: a model that was loaded, and a context that was read, serve the next cell too. */
import {
  type Cell,
  type CellResult,
  cellsOf,
  prepareLaw,
  prepareMethods,
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

  /** The model of a run; it stays loaded until another one is asked for. */
  async function modelFor({ plan, source }: CellRequest): Promise<Model> {
    const { hash, context, precision, threads } = plan.run as unknown as RunModel;
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
        problem: 'The model of the cell is not here.',
        found: `no file with the SHA-256 ${hash}`,
        remedy: 'Put it into the folder of --models.',
      });
    }
    const loaded = await loadModel(path, { context, precision, threads, signal: work.signal });
    model = { key, model: loaded };
    return loaded;
  }

  async function runFor(request: CellRequest): Promise<OpenRun> {
    const key = JSON.stringify(request.plan);
    if (open?.key === key) return open.run;
    const run = await prepare(request.plan, { model: () => modelFor(request), inputs, work });
    await close();
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

/** What every run over a model says of it. */
interface RunModel {
  /** SHA-256 of its file. */
  hash: string;
  context: number;
  precision: Model['precision'];
  threads: number;
}

/** What a run is prepared from. */
interface Ingredients {
  /** Loads the model of the run. */
  model(): Promise<Model>;
  inputs: Inputs;
  work: WorkOptions;
}

/** A run as it was planned. */
const prepare = async (plan: RunPlan, ingredients: Ingredients): Promise<Run<Cell, unknown>> =>
  (await PREPARE[plan.kind](plan as never, ingredients)) as Run<Cell, unknown>;

type Prepare<Kind extends RunPlan['kind']> = (
  plan: Extract<RunPlan, { kind: Kind }>,
  ingredients: Ingredients,
) => Promise<unknown>;

const PREPARE: { [Kind in RunPlan['kind']]: Prepare<Kind> } = {
  async text(plan, { model, inputs, work }) {
    const { tokens, evalTokens, auditTokens, timedSteps, seed, policies, prefills, text } = plan;
    const content = await inputs.text(text.name, text.hash);
    return prepareText({
      model: await model(),
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
  async tasks(plan, { model, work }) {
    const { tasks, lengths, depths, samples, chat, seed, policies, prefills, run } = plan;
    return prepareTasks({
      model: await model(),
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
  async law({ texts, settings, design, fittedTo, run }, { model, inputs, work }) {
    const { tokens, samples, seed } = settings;
    const contents = texts.map(async ({ name, hash }) => ({ name, content: await inputs.text(name, hash) }));
    return prepareLaw({
      texts: await Promise.all(contents),
      model: await model(),
      tokens,
      offset: run.offset as number,
      lengths: design.lengths,
      samples,
      seed,
      fittedTo,
      ...work,
    });
  },
  async methods({ captures, methods, seed }, { inputs, work }) {
    const files = captures.map(async ({ file, hash }) => ({ name: file, path: await inputs.capturePath(file, hash) }));
    return prepareMethods({ captures: await Promise.all(files), methods, seed, ...work });
  },
};
