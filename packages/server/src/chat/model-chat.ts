/** What a model's chat template tells of it: how its tools are presented and called, and grammars for its tokens. */
import { type ChatMessage, createGrammars, type GrammarSpec, type Grammars } from '@keysieve/llm';
import type { ServedModel } from '../engine/session-pool.ts';
import { invalidRequest } from '../http/api-error.ts';
import { presentTools, type ToolFormat, toolFormatOf } from '../tools/index.ts';
import type { ChatJob } from './job.ts';

export interface ModelChat {
  format: ToolFormat;
  /** Whether the template presents tools itself. */
  knowsTools: boolean;
  /** Special tokens that are part of the form of calls. */
  visible: ReadonlyMap<number, string>;
  grammars: Grammars;
}

const chats = new WeakMap<ServedModel, ModelChat>();

/** Throws `chat-template-missing`. */
export function modelChat(model: ServedModel): ModelChat {
  let chat = chats.get(model);
  if (chat === undefined) {
    const { source } = model.chatTemplate();
    const format = toolFormatOf(source);
    const visible = specialTokens(model, format.specialTexts);
    chat = {
      format,
      knowsTools: /\btools\b/.test(source),
      visible,
      grammars: createGrammars(model.tokenizer, visible),
    };
    chats.set(model, chat);
  }
  return chat;
}

function specialTokens({ tokenizer }: ServedModel, texts: readonly string[]): Map<number, string> {
  const tokens = texts.map((text) => [[...tokenizer.encode(text)], text] as const);
  return new Map(
    tokens.flatMap(([ids, text]) => {
      const [id] = ids;
      return id !== undefined && ids.length === 1 && tokenizer.isSpecial(id) ? [[id, text] as const] : [];
    }),
  );
}

/** The prompt of a chat: tools are presented by the template, or by a message where it knows none. */
export function chatPrompt(model: ServedModel, job: ChatJob): Int32Array {
  const { messages, tools, toolChoice, templateVariables: variables } = job;
  const offered = toolChoice === 'none' ? [] : tools;
  const usesTools = offered.length > 0 || messages.some(({ role, toolCalls }) => role === 'tool' || toolCalls);
  if (!usesTools) return model.encode(messages, { variables });
  if (modelChat(model).knowsTools) return model.encode(messages, { tools: offered, variables });
  return model.encode(presentTools(messages, offered) satisfies ChatMessage[], { variables });
}

/** The grammar that a job's answers obey, if any, and whether they must. */
export function chatGrammar(job: ChatJob, { format }: ModelChat): { spec: GrammarSpec; required: boolean } | undefined {
  const { toolChoice, tools, parallelToolCalls } = job;
  if (typeof toolChoice === 'object' || toolChoice === 'required') {
    if (job.format.type !== 'text') {
      throw invalidRequest('An answer cannot be both a required call and of a response format.', 'response_format');
    }
    // A tool that is named is called once.
    const calls =
      typeof toolChoice === 'object'
        ? format.requiredCalls(
            tools.filter(({ name }) => name === toolChoice.name),
            false,
          )
        : format.requiredCalls(tools, parallelToolCalls);
    return { spec: { type: 'format', format: calls }, required: true };
  }
  if (job.format.type !== 'text') return { spec: job.format, required: true };
  if (toolChoice === 'none' || tools.length === 0 || format.optionalCalls === undefined) return undefined;
  return { spec: { type: 'format', format: format.optionalCalls(tools, parallelToolCalls) }, required: false };
}
