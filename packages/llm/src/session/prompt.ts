/** From what a caller calls a prompt, a text, chat messages or token ids, to the ids that the model reads. */
import { llmError } from '../errors.ts';
import type { ChatMessage, RenderOptions, Tokenizer } from '../tokenizer/index.ts';

/** Raw text, the messages of a chat, or token ids as they are. */
export type Prompt = string | readonly ChatMessage[] | Int32Array;

export interface PromptContext {
  tokenizer: Tokenizer;
  /** Makes the text of a chat. Throws `chat-template-missing` where the model has no template. */
  renderChat(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/**
 * Token ids of a prompt; `options` are those of a chat. Throws `prompt-empty`, `chat-template-missing`,
 * `chat-template-invalid` or `chat-messages-invalid`.
 */
export function encodePrompt(prompt: Prompt, context: PromptContext, options?: RenderOptions): Int32Array {
  const tokens = encode(prompt, context, options);
  if (tokens.length === 0) {
    throw llmError({
      code: 'prompt-empty',
      problem: 'The prompt has no tokens.',
      remedy: 'Give at least one character of text, one message, or one token.',
    });
  }
  return tokens;
}

function encode(prompt: Prompt, { tokenizer, renderChat }: PromptContext, options?: RenderOptions): Int32Array {
  if (prompt instanceof Int32Array) return prompt;
  const isText = typeof prompt === 'string';
  if (prompt.length === 0) return new Int32Array(0);
  const ids = tokenizer.encode(isText ? prompt : renderChat(prompt, options));
  const { addBos, bosToken } = tokenizer;
  if (!addBos || bosToken === undefined || ids[0] === bosToken) return ids;
  const withBos = new Int32Array(ids.length + 1);
  withBos[0] = bosToken;
  withBos.set(ids, 1);
  return withBos;
}

/** Tokens that two lists have in common from the start on. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const maxLength = Math.min(a.length, b.length);
  let length = 0;
  while (length < maxLength && a[length] === b[length]) length++;
  return length;
}
