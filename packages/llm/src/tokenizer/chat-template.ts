/**
 * Chat templates: the text that a model expects for a list of messages. @huggingface/jinja renders them, in a process
 * with limits where the platform has one; the template is the one in the GGUF's metadata unless another is given.
 */
import { runTemplate } from '#platform';
import { llmError } from '../errors.ts';
import type { GgufMetadata } from '../gguf/metadata.ts';
import type { TemplateResult } from '../platform/platform.ts';

export interface ChatMessage {
  /** Who speaks: `system`, `user`, `assistant`, or another role that the template knows, such as `tool`. */
  role: string;
  content: string;
  /** Calls that an assistant made. */
  toolCalls?: readonly ToolCall[];
  /** The call that a message of a tool answers. */
  toolCallId?: string;
  /** The tool that answers. */
  name?: string;
}

/** A call of a tool, as a model made it. */
export interface ToolCall {
  id: string;
  name: string;
  arguments: Record<string, unknown>;
}

/** A tool that a model may call. */
export interface ToolDefinition {
  name: string;
  description?: string;
  /** JSON Schema of its arguments. */
  parameters?: Record<string, unknown>;
}

export interface RenderOptions {
  /** Tools that the template presents to the model. Default: none. */
  tools?: readonly ToolDefinition[];
  /** Whether the text ends with the beginning of an answer. Default: true. */
  addGenerationPrompt?: boolean;
  /**
   * Other variables that the template reads, such as `enable_thinking` or `documents`. What the chat itself sets comes
   * before them. Default: none.
   */
  variables?: Readonly<Record<string, unknown>>;
}

export interface ChatTemplate {
  /**
   * The text of a chat. Throws `chat-messages-invalid` where the messages are none or the template refuses them, for
   * example for roles that do not alternate.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
  /** The template itself, in Jinja. */
  readonly source: string;
}

export interface ChatTemplateOptions {
  /** The source of a Jinja template. Default: `tokenizer.chat_template` of the GGUF file. */
  template?: string | undefined;
}

/** Throws `chat-template-missing` where there is none and `chat-template-invalid` where it is not a Jinja template. */
export function createChatTemplate(gguf: { metadata: GgufMetadata }, options: ChatTemplateOptions = {}): ChatTemplate {
  const { metadata } = gguf;
  const source = options.template ?? metadata.stringOr('tokenizer.chat_template', '');
  if (source.trim() === '') throw missing();
  textOf(runTemplate({ source }));
  const tokenTexts = { bos_token: tokenText(metadata, 'bos'), eos_token: tokenText(metadata, 'eos') };

  function render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const { addGenerationPrompt = true, tools = [], variables: others } = options;
    requireMessages(messages);
    const variables = {
      ...others,
      ...tokenTexts,
      messages: messages.map(templateMessage),
      ...(tools.length > 0 && { tools: tools.map((tool) => ({ type: 'function', function: { ...tool } })) }),
      add_generation_prompt: addGenerationPrompt,
    };
    return textOf(runTemplate({ source, variables }));
  }

  return { render, source };
}

/** A message as templates read it: the names are those of the OpenAI API, but arguments are objects (transformers). */
function templateMessage({ role, content, toolCalls = [], toolCallId, name }: ChatMessage): Record<string, unknown> {
  const calls = toolCalls.map(({ id, ...call }) => ({ id, type: 'function', function: call }));
  return {
    role,
    content,
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(name !== undefined && { name }),
  };
}

/** What a template made. Throws `chat-template-invalid` or `chat-messages-invalid`. */
function textOf(result: TemplateResult): string {
  if ('text' in result) return result.text;
  const { failed, found } = result;
  if (failed === 'render') throw messagesInvalid('The chat template cannot render these messages.', found);
  throw llmError({
    code: 'chat-template-invalid',
    problem:
      failed === 'parse' ? 'The chat template is not valid Jinja.' : 'The chat template does not come to an end.',
    found,
    remedy: "Give the model's chat_template.jinja, or give the prompt as text.",
  });
}

/** The text of a token that the metadata names, '' where it names none. */
function tokenText(metadata: GgufMetadata, name: string): string {
  const id = metadata.numberOr(`tokenizer.ggml.${name}_token_id`, -1);
  return (metadata.has('tokenizer.ggml.tokens') && metadata.strings('tokenizer.ggml.tokens')[id]) || '';
}

/** Throws `chat-messages-invalid` for what is no list of messages. */
export function requireMessages(messages: readonly ChatMessage[]): void {
  if (messages.length === 0) throw messagesInvalid('The chat has no messages.', 'an empty list');
  const wrong = messages.find((message) => typeof message?.role !== 'string' || typeof message.content !== 'string');
  if (wrong !== undefined || messages.includes(undefined as never)) {
    throw messagesInvalid('A message lacks its role or content.', JSON.stringify(wrong) ?? 'undefined');
  }
}

function messagesInvalid(problem: string, found: string) {
  return llmError({
    code: 'chat-messages-invalid',
    problem,
    found,
    remedy:
      'Give messages as { role, content }, in an order that the template allows (user and assistant in turn); ' +
      'where they are right, put a chat_template.jinja that renders them beside the GGUF file.',
  });
}

function missing() {
  return llmError({
    code: 'chat-template-missing',
    problem: 'The model has no chat template.',
    remedy: 'Put its chat_template.jinja beside the GGUF file, or give the prompt as text instead of messages.',
  });
}
