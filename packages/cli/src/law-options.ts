/** Laws on the command line: `--law FILE`, and budgets that are targets which it divides over the heads. */
import { checkLaw, type IdentifiedModel, openLaw } from '@keysieve/lab';
import { llmError } from '@keysieve/llm';
import { Option } from 'commander';
import { BUDGET_TARGETS, isBudgetTarget, type LawFile, type PolicySpec } from 'keysieve';
import { note } from './terminal.ts';

/** The target where --law is given without a budget. */
export const DEFAULT_TARGET = 'mean:256';

/** --law */
export const lawOption = (): Option => {
  const targets = BUDGET_TARGETS.map(({ usage, meaning }) => `${usage} (${meaning})`).join(', ');
  return new Option(
    '--law <file>',
    `law.json of the model, as keysieve measure writes it: budgets may then be ${targets}; default: ${DEFAULT_TARGET}`,
  );
};

/** A law, and the path it was read from. */
export interface LoadedLaw {
  path: string;
  law: LawFile;
}

/**
 * The law at --law. Throws `invalid-argument` where there is none but a budget that needs one, and what `openLaw` throws;
 * warns where no budget needs it.
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
  if (target === undefined) note('warning: no budget is a target that the law could divide; --law is not used.');
  return { path, law: await openLaw(path) };
}

/** Throws `law-foreign` unless the law is that of the model. Without a law it does nothing. */
export async function checkLoadedLaw(
  loaded: LoadedLaw | undefined,
  model: IdentifiedModel,
  signal: AbortSignal,
): Promise<void> {
  if (loaded !== undefined) await checkLaw(loaded.law, model, loaded.path, signal);
}
