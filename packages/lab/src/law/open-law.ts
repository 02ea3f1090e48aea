/** Laws from files, and the budgets that they give to policies. */
import { readFile } from 'node:fs/promises';
import { type Model, selectiveLayers } from '@keysieve/llm';
import {
  checkLawModel,
  isBudgetTarget,
  type LawFile,
  type LawModel,
  type PolicySpec,
  planBudget,
  readLaw,
} from 'keysieve';
import { labError } from '../errors.ts';

/** What identifies the model of a law: its file's hash, and its heads. */
export type IdentifiedModel = Pick<Model, 'name' | 'hash'> & {
  config: Pick<Model['config'], 'layerAttention' | 'heads' | 'keyValueHeads' | 'headDim'>;
};

/** The model as a law names it. Hashes the model's file, once for each loaded model. */
export async function lawModelOf({ name, config, hash }: IdentifiedModel, signal?: AbortSignal): Promise<LawModel> {
  const { layerAttention, heads, keyValueHeads, headDim } = config;
  const layers = selectiveLayers(config);
  const layerIndices = layers.length < layerAttention.length ? layers : undefined;
  const shape = { layers: layers.length, ...(layerIndices && { layerIndices }), heads, keyValueHeads, headDim };
  return { name, hash: await hash(signal), ...shape };
}

/** The law in a file. Throws `file-not-found`, `law-invalid` or `law-version`. */
export async function openLaw(path: string): Promise<LawFile> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw labError({
      code: 'file-not-found',
      problem: 'The law file cannot be read.',
      found: `${path} (${cause.code ?? cause})`,
      remedy: 'Check the path, or make one with keysieve measure.',
      cause,
    });
  });
  return readLaw(text, path);
}

/** Throws `law-foreign` unless the law was measured on this model. `name` names the law in the error. */
export async function checkLaw(
  law: LawFile,
  model: IdentifiedModel,
  name: string,
  signal?: AbortSignal,
): Promise<void> {
  checkLawModel(law, await lawModelOf(model, signal), name);
}

/**
 * The policy with its budget target, such as `mean:256`, divided over the heads by the law; a policy with any other
 * budget, and any policy without a law, as it is.
 */
export function withLawBudget(spec: PolicySpec, law: LawFile | undefined): PolicySpec {
  if (law === undefined || spec.budget === undefined || !isBudgetTarget(spec.budget)) return spec;
  return { ...spec, ...planBudget(law, spec.budget) };
}
