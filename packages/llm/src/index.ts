export { KeysieveError } from 'keysieve';
export { isLlmError, LLM_ERROR_CODES, type LlmError, type LlmErrorCode, llmError } from './errors.ts';
export * from './gguf/index.ts';
export * from './grammar/index.ts';
export * from './hub/index.ts';
export type { SourceLocation } from './io/source.ts';
export * from './model/index.ts';
export {
  FULL_ATTENTION_OPERATORS,
  type FullAttentionOperator,
  type FullAttentionOperatorName,
  type FullAttentionOperatorOptions,
  hashFile,
  supportedTensorTypes,
} from './onnx/index.ts';
export type { PrefixStats, PrefixStore, StoredPrefixes } from './prefixes/index.ts';
export {
  type AnswerPrinter,
  createAnswerPrinter,
  type PrintableOptions,
  printable,
  printableJson,
  printableLines,
} from './printable.ts';
export * from './sampling/index.ts';
export * from './session/index.ts';
export type { SnapshotProgress } from './snapshot/snapshot-file.ts';
export type { SnapshotTarget } from './snapshot/target.ts';
export * from './tokenizer/index.ts';
