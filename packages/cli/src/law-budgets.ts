/** Laws on the command line: `--law FILE`, and budgets that are totals which it divides over the heads. */
import { readFile } from 'node:fs/promises';
import { describeLawModel, type LoadedModelFile } from '@keysieve/lab';
import { KeysieveError, llmError } from '@keysieve/llm';
import { Option } from 'commander';
import {
  BUDGET_TARGETS,
  checkLawModel,
  isBudgetTarget,
  type LawFile,
  type PolicySpec,
  planBudget,
  readLaw,
} from 'keysieve';
import { note } from './terminal.ts';

/** The total of a law that comes without one. */
export const DEFAULT_TARGET = 'mean:256';

/** --law */
export const lawOption = (): Option => {
  const targets = BUDGET_TARGETS.map(({ usage, meaning }) => `${usage} (${meaning})`).join(', ');
  return new Option(
    '--law <file>',
    `law.json of the model, as keysieve measure writes it: budgets may then be ${targets}; default: ${DEFAULT_TARGET}`,
  );
};

/** A law that was read, and where from. */
export interface LoadedLaw {
  path: string;
  law: LawFile;
}

/**
 * The law that some policies need, read from its file. Throws `invalid-argument` where there is none but a budget that
 * needs one, and what `readLaw` throws.
 */
export async function loadLaw(path: string | undefined, specs: readonly PolicySpec[]): Promise<LoadedLaw | undefined> {
  const target = specs.map(({ budget = '' }) => budget).find(isBudgetTarget);
  if (path === undefined) {
    if (target === undefined) return undefined;
    throw llmError({
      code: 'invalid-argument',
      problem: 'This budget is divided over the heads by a law, and none was given.',
      found: target,
      remedy: 'Give --law FILE, as keysieve measure writes it.',
    });
  }
  if (target === undefined) note('warning: no budget is a total that the law could divide; --law is not used.');
  return { path, law: readLaw(await readLawFile(path), path) };
}

async function readLawFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'The file of the law cannot be read.',
      found: `${path} (${(cause as NodeJS.ErrnoException).code ?? cause})`,
      remedy: 'Check the path, or make one: keysieve measure --law FILE.',
      cause,
    });
  }
}

/** Throws `law-foreign` unless the law is that of the model. Without a law it does nothing. */
export async function checkLaw(
  loaded: LoadedLaw | undefined,
  model: LoadedModelFile,
  signal: AbortSignal,
): Promise<void> {
  if (loaded !== undefined) checkLawModel(loaded.law, await describeLawModel(model, signal), loaded.path);
}

/** A policy with its total divided by the law; any other as it is. Throws what `planBudget` throws. */
export function withLawBudget(spec: PolicySpec, loaded: LoadedLaw | undefined): PolicySpec {
  if (loaded === undefined || spec.budget === undefined || !isBudgetTarget(spec.budget)) return spec;
  return { ...spec, ...planBudget(loaded.law, spec.budget) };
}
