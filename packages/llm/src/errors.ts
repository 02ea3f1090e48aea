/** The error codes of this package; the class itself is {@link KeysieveError} of `keysieve`. */
import { CORE_ERROR_CODES, type ErrorDetails, type ErrorOf, hasErrorCode, KeysieveError } from 'keysieve';

/** Codes of the errors of this package, those of `keysieve` among them. */
export const LLM_ERROR_CODES = [
  ...CORE_ERROR_CODES,
  // model files
  'model-not-found',
  'model-unreadable',
  'not-gguf',
  'gguf-truncated',
  'gguf-invalid',
  'gguf-split',
  'metadata-missing',
  'unsupported-gguf-version',
  'unsupported-architecture',
  'unsupported-tensor-type',
  'unsupported-tokenizer',
  'tokenizer-invalid',
  'tensor-missing',
  'tensor-shape-mismatch',
  'hub-unreachable',
  'hub-file-not-found',
  'hub-access-denied',
  'hub-file-corrupt',
  // prompts and sessions
  'prompt-empty',
  'prompt-too-long',
  'prompt-not-utf8',
  'prompt-file-not-found',
  'chat-template-missing',
  'chat-template-invalid',
  'chat-messages-invalid',
  'session-busy',
  'generation-used',
  'grammar-invalid',
  'grammar-unavailable',
  'snapshot-not-found',
  'snapshot-invalid',
  'snapshot-version',
  'snapshot-foreign',
  'snapshot-unsupported',
  'cache-folder-unwritable',
  'output-unwritable',
  'out-of-memory',
  'backend-failed',
] as const;
export type LlmErrorCode = (typeof LLM_ERROR_CODES)[number];

/** An error of this package. A `switch` over its code narrows it. */
export type LlmError = ErrorOf<LlmErrorCode>;

/** Whether something that was caught is an error of this package, so that a `switch` over its code is checked. */
export const isLlmError = (error: unknown): error is LlmError => hasErrorCode(error, LLM_ERROR_CODES);

/** Makes an error of this package: `throw llmError({ code, problem, found, remedy })`. */
export function llmError(details: ErrorDetails<LlmErrorCode>): LlmError {
  return new KeysieveError(details) as LlmError;
}
