/**
 * The files that a model's repository has beside its GGUF file and that say more than its metadata: tokenizer.json,
 * chat_template.jinja and tokenizer_config.json. None of them is needed to load a model, so that a broken one is an
 * error only of what needs it.
 */
import { openSource, siblingOf } from '#platform';
import { type LlmErrorCode, llmError } from '../errors.ts';
import { readWhole, SourceError, type SourceLocation } from '../io/source.ts';

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

/**
 * The companion files beside a GGUF file; templates are read at once, for `chatTemplate` to give. A Blob has none, and a
 * server that answers no requests for ranges of them has none either.
 */
export async function readCompanionFiles(gguf: SourceLocation): Promise<CompanionFiles> {
  const read = async (name: string, invalid: LlmErrorCode) => {
    const location = siblingOf(gguf, name);
    return location && readIfThere(location, invalid);
  };
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
async function readIfThere(location: SourceLocation, invalid: LlmErrorCode): Promise<string | undefined> {
  let bytes: Uint8Array;
  try {
    await using source = await openSource(location);
    bytes = await readWhole(source, MAX_BYTES);
  } catch (cause) {
    if (!(cause instanceof SourceError)) throw cause;
    if (cause.fault === 'not-found' || location instanceof URL) return undefined;
    throw llmError({
      code: 'model-unreadable',
      problem: `The file ${location} beside the model cannot be read.`,
      found: cause.found,
      remedy: 'Check its permissions, or take it away.',
      cause,
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw llmError({
      code: invalid,
      problem: `The file ${location} beside the model is not UTF-8 text.`,
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
