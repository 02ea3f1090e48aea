/** From what a caller calls a prompt, a text, chat messages or token ids, to the ids that the model reads. */
import { checkArgument } from '../arguments.ts';
import { llmError } from '../errors.ts';
import type { ChatMessage, ChatTemplate, RenderOptions, Tokenizer } from '../tokenizer/index.ts';

/** Raw text, the messages of a chat, or token ids as they are. */
export type Prompt = string | readonly ChatMessage[] | Int32Array;

/** How a prompt becomes tokens; the options of rendering are those of a chat. */
export interface EncodePromptOptions extends RenderOptions {
  /** Whether names of control tokens in a text, such as `<|im_start|>`, become those tokens. Default: false. */
  special?: boolean | undefined;
  /** Text with which the answer to a chat begins, as text. Default: none. */
  answerPrefix?: string | undefined;
}

export interface PromptContext {
  tokenizer: Tokenizer;
  /** Throws `chat-template-missing` where the model has none. */
  chatTemplate(): ChatTemplate;
}

/**
 * Token ids of a prompt. Throws `prompt-empty`, `chat-template-missing`, `chat-template-invalid` or
 * `chat-messages-invalid`.
 */
export function encodePrompt(prompt: Prompt, context: PromptContext, options: EncodePromptOptions = {}): Int32Array {
  const isPrompt = typeof prompt === 'string' || prompt instanceof Int32Array || Array.isArray(prompt);
  checkArgument('A prompt', prompt, isPrompt, 'a text, a list of messages, or token ids in an Int32Array');
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

function encode(
  prompt: Prompt,
  { tokenizer, chatTemplate }: PromptContext,
  { special = false, answerPrefix = '', ...rendering }: EncodePromptOptions,
): Int32Array {
  if (prompt instanceof Int32Array) return prompt;
  if (prompt.length === 0) return new Int32Array(0);
  if (typeof prompt === 'string') return withBeginning(tokenizer.encode(prompt, { special }), tokenizer);
  const chat = withBeginning(tokenizer.encodeChat(prompt, chatTemplate(), rendering), tokenizer);
  return answerPrefix === '' ? chat : concat(chat, tokenizer.encode(answerPrefix, { special: false }));
}

/** With the token for the beginning of a text in front where the model expects it and it is not there. */
function withBeginning(ids: Int32Array, { addBos, bosToken }: Tokenizer): Int32Array {
  if (!addBos || bosToken === undefined || ids[0] === bosToken) return ids;
  return concat([bosToken], ids);
}

function concat(first: ArrayLike<number>, second: ArrayLike<number>): Int32Array {
  const ids = new Int32Array(first.length + second.length);
  ids.set(first);
  ids.set(second, first.length);
  return ids;
}
