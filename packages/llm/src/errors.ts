/** The error codes of this package; the class itself is {@link KeysieveError} of `keysieve`. */
import type { CoreErrorCode, ErrorDetails } from 'keysieve';
import { KeysieveError } from 'keysieve';

/** Codes of the errors of this package. */
export type LlmErrorCode =
  | CoreErrorCode
  // model files
  | 'model-not-found'
  | 'model-unreadable'
  | 'not-gguf'
  | 'gguf-truncated'
  | 'gguf-invalid'
  | 'gguf-split'
  | 'metadata-missing'
  | 'unsupported-gguf-version'
  | 'unsupported-architecture'
  | 'unsupported-tensor-type'
  | 'unsupported-tokenizer'
  | 'tokenizer-invalid'
  | 'tensor-missing'
  | 'tensor-shape-mismatch'
  | 'hub-unreachable'
  | 'hub-file-not-found'
  | 'hub-access-denied'
  | 'hub-file-corrupt'
  // prompts and sessions
  | 'prompt-empty'
  | 'prompt-too-long'
  | 'prompt-not-utf8'
  | 'prompt-file-not-found'
  | 'chat-template-missing'
  | 'chat-template-invalid'
  | 'chat-messages-invalid'
  | 'session-busy'
  | 'generation-used'
  | 'grammar-invalid'
  | 'grammar-unavailable'
  | 'snapshot-not-found'
  | 'snapshot-invalid'
  | 'snapshot-version'
  | 'snapshot-foreign'
  | 'snapshot-unsupported'
  | 'cache-folder-unwritable'
  | 'output-unwritable'
  | 'out-of-memory'
  | 'backend-failed';

/** What an error of this package is made from: its code, the problem, what was found and the way out. */
export type LlmError = KeysieveError<LlmErrorCode>;

/** Makes an error of this package: `throw llmError({ code, problem, found, remedy })`. */
export function llmError(details: ErrorDetails<LlmErrorCode>): LlmError {
  return new KeysieveError(details);
}
