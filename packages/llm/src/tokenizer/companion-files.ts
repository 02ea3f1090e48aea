/**
 * The files that a model's repository has beside its GGUF file and that say more than its metadata: tokenizer.json,
 * chat_template.jinja and tokenizer_config.json. None of them is needed to load a model, so that a broken one is an
 * error only of what needs it.
 */
import { dirname, join } from 'node:path';
import { type LlmErrorCode, llmError } from '../errors.ts';
import { readRegularFile } from '../regular-file.ts';

/** The tokenizer and the chat template that lie beside a model file. */
export interface CompanionFiles {
  /** Text of tokenizer.json, undefined where there is none. Throws `model-unreadable` or `tokenizer-invalid`. */
  tokenizerJson(): Promise<string | undefined>;
  /**
   * Source of the chat template: chat_template.jinja, else `chat_template` of tokenizer_config.json; undefined where
   * neither is there. Throws `model-unreadable` or `chat-template-invalid`.
   */
  chatTemplate(): string | undefined;
}

/** A tokenizer.json of 256,000 tokens has some 30 MB. */
const MAX_BYTES = 2 ** 28;

/** The companion files in the folder of a GGUF file; templates are read at once, for `chatTemplate` to give. */
export async function readCompanionFiles(ggufPath: string): Promise<CompanionFiles> {
  const folder = dirname(ggufPath);
  const read = (name: string, invalid: LlmErrorCode) => readIfThere(join(folder, name), invalid);
  const [template, config] = await Promise.allSettled([
    read('chat_template.jinja', 'chat-template-invalid'),
    read('tokenizer_config.json', 'chat-template-invalid'),
  ]);
  return {
    tokenizerJson: () => read('tokenizer.json', 'tokenizer-invalid'),
    chatTemplate: () => settledValue(template) ?? templateOf(settledValue(config)),
  };
}

function settledValue<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

/** The text of a file in UTF-8, without a byte order mark. */
async function readIfThere(path: string, invalid: LlmErrorCode): Promise<string | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readRegularFile(path, { maxBytes: MAX_BYTES });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw llmError({
      code: 'model-unreadable',
      problem: `The file ${path} beside the model cannot be read.`,
      found: code === 'EINVAL' ? 'a pipe or device' : code,
      remedy: 'Check its permissions, or take it away.',
      cause,
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw llmError({
      code: invalid,
      problem: `The file ${path} beside the model is not UTF-8 text.`,
      remedy: 'Fetch it again, or take it away.',
      cause,
    });
  }
}

/** A template, or the one called `default` of several. */
function templateOf(config: string | undefined): string | undefined {
  if (config === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(config);
  } catch (cause) {
    throw llmError({
      code: 'chat-template-invalid',
      problem: 'The tokenizer_config.json beside the model is not JSON.',
      remedy: 'Fetch it again, or take it away.',
      cause,
    });
  }
  const template = (json as { chat_template?: unknown } | null)?.chat_template;
  const named = Array.isArray(template) ? template.find((each) => each?.name === 'default')?.template : template;
  return typeof named === 'string' ? named : undefined;
}
