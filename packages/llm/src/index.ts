export { KeysieveError } from 'keysieve';
export type { LlmError, LlmErrorCode } from './errors.ts';
