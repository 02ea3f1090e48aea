/**
 * The files that a model's repository has beside its GGUF file and that say more than its metadata: tokenizer.json,
 * chat_template.jinja and tokenizer_config.json.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { llmError } from '../errors.ts';

export interface CompanionFiles {
  /** Text of tokenizer.json. */
  tokenizerJson: string | undefined;
  /** Source of the chat template: chat_template.jinja, else `chat_template` of tokenizer_config.json. */
  chatTemplate: string | undefined;
}

/**
 * Reads them from the folder of a GGUF file, each undefined where it is not there. Throws `tokenizer-invalid` for a
 * tokenizer_config.json that is not JSON, and `model-unreadable` for a file that cannot be read.
 */
export async function readCompanionFiles(ggufPath: string): Promise<CompanionFiles> {
  const folder = dirname(ggufPath);
  const [tokenizerJson, template, config] = await Promise.all(
    ['tokenizer.json', 'chat_template.jinja', 'tokenizer_config.json'].map((name) => readIfThere(join(folder, name))),
  );
  return { tokenizerJson, chatTemplate: template ?? templateOf(config) };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw llmError({
      code: 'model-unreadable',
      problem: `The file ${path} beside the model cannot be read.`,
      found: (cause as NodeJS.ErrnoException).code,
      remedy: 'Check its permissions, or take it away.',
      cause,
    });
  }
}

/** A template, or the one called `default` of several. */
function templateOf(config: string | undefined): string | undefined {
  if (config === undefined) return undefined;
  let template: unknown;
  try {
    template = (JSON.parse(config) as { chat_template?: unknown }).chat_template;
  } catch (cause) {
    throw llmError({
      code: 'tokenizer-invalid',
      problem: 'The tokenizer_config.json beside the model is not JSON.',
      remedy: 'Fetch it again, or take it away.',
      cause,
    });
  }
  const named = Array.isArray(template) ? template.find((each) => each?.name === 'default')?.template : template;
  return typeof named === 'string' ? named : undefined;
}
