/** Laws on the command line: `--law FILE`, and budgets that are totals which it divides over the heads. */
import { readFile } from 'node:fs/promises';
import { KeysieveError, llmError } from '@keysieve/llm';
import { Option } from 'commander';
import { checkLawModel, isTotal, LAW_TOTALS, type LawFile, type PolicySpec, planBudget, readLaw } from 'keysieve';
import { lawModelOf, type OpenedModel } from './law-model.ts';
import { note } from './terminal.ts';

/** The total of a law that comes without one. */
export const DEFAULT_TOTAL = 'mean:256';

/** --law */
export const lawOption = (): Option => {
  const totals = LAW_TOTALS.map(({ usage, meaning }) => `${usage} (${meaning})`).join(', ');
  return new Option(
    '--law <file>',
    `law.json of the model, as keysieve measure writes it: budgets may then be ${totals}; default: ${DEFAULT_TOTAL}`,
  );
};

/** A law that was read, and where from. */
export interface OpenedLaw {
  path: string;
  law: LawFile;
}

/**
 * The law that some policies need, read from its file. Throws `invalid-argument` where there is none but a budget that
 * needs one, and what `readLaw` throws.
 */
export async function openLaw(path: string | undefined, specs: readonly PolicySpec[]): Promise<OpenedLaw | undefined> {
  const total = specs.map(({ budget = '' }) => budget).find(isTotal);
  if (path === undefined) {
    if (total === undefined) return undefined;
    throw llmError({
      code: 'invalid-argument',
      problem: 'This budget is divided over the heads by a law, and none was given.',
      found: total,
      remedy: 'Give --law FILE, as keysieve measure writes it.',
    });
  }
  if (total === undefined) note('warning: no budget is a total that the law could divide; --law is not used.');
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
export async function checkLaw(opened: OpenedLaw | undefined, model: OpenedModel, signal: AbortSignal): Promise<void> {
  if (opened !== undefined) checkLawModel(opened.law, await lawModelOf(model, signal), opened.path);
}

/** A policy with its total divided by the law; any other as it is. Throws what `planBudget` throws. */
export function divided(spec: PolicySpec, opened: OpenedLaw | undefined): PolicySpec {
  if (opened === undefined || spec.budget === undefined || !isTotal(spec.budget)) return spec;
  return { ...spec, ...planBudget(opened.law, spec.budget) };
}
