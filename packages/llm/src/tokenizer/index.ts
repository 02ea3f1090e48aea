/** Tokenizers of models, and the templates of their chats. */
export type {
  ChatMessage,
  ChatTemplate,
  ChatTemplateOptions,
  RenderOptions,
  ToolCall,
  ToolDefinition,
} from './chat-template.ts';
export { createChatTemplate } from './chat-template.ts';
export type { CompanionFiles } from './companion-files.ts';
export { readCompanionFiles } from './companion-files.ts';
export { supportedPreTokenizers } from './pre-tokenizers.ts';
export type { StreamDecoder } from './token-bytes.ts';
export type { DecodeOptions, EncodeOptions, Tokenizer, TokenizerOptions } from './tokenizer.ts';
export { createTokenizer } from './tokenizer.ts';
