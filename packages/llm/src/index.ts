export { KeysieveError } from 'keysieve';
export type { LlmError, LlmErrorCode } from './errors.ts';
export { llmError } from './errors.ts';
export * from './gguf/index.ts';
export * from './hub/index.ts';
export * from './model/index.ts';
export {
  DENSE_OPERATORS,
  type DenseOperator,
  type DenseOperatorName,
  type DenseOperatorOptions,
} from './onnx/index.ts';
export * from './sampling/index.ts';
export * from './session/index.ts';
export * from './tokenizer/index.ts';
