/** How models write calls of tools: found by their chat templates, read from their answers, and asked of them. */
import type { ToolDefinition } from '@keysieve/llm';
import type { StructuralTagFormat } from '@mlc-ai/web-xgrammar';

/** What a piece of an answer is: text, or a call that is complete. */
export type AnswerPart = { text: string } | { call: { name: string; arguments: string } };

/** Reads an answer as it comes. What turns out to be no call is text. */
export interface ToolCallParser {
  append(text: string): AnswerPart[];
  /** What is left when the answer has ended. */
  flush(): AnswerPart[];
}

export interface ToolFormat {
  readonly name: string;
  /** Whether a chat template asks for calls of this form. */
  matches(template: string): boolean;
  /** Texts that are special tokens in some models, whose answers would come without them. */
  readonly specialTexts: readonly string[];
  createParser(): ToolCallParser;
  /** The grammar of answers that are calls, several only if `parallel`. */
  requiredCalls(tools: readonly ToolDefinition[], parallel: boolean): StructuralTagFormat;
  /** The grammar of answers that may hold calls; undefined where calls cannot be told from text before they end. */
  optionalCalls?(tools: readonly ToolDefinition[], parallel: boolean): StructuralTagFormat;
}

/** The schema of a tool's arguments: any object where it has none. */
export const argumentsSchema = ({ parameters }: ToolDefinition): Record<string, unknown> =>
  parameters === undefined || Object.keys(parameters).length === 0 ? { type: 'object' } : parameters;

/** A tag around the arguments of each tool. */
export function callTags(
  tools: readonly ToolDefinition[],
  begin: (name: string) => string,
  end: string,
): { type: 'tag'; begin: string; content: StructuralTagFormat; end: string }[] {
  return tools.map((tool) => ({
    type: 'tag',
    begin: begin(tool.name),
    content: { type: 'json_schema', json_schema: argumentsSchema(tool) },
    end,
  }));
}

/** A call in JSON, `{"name": ..., "arguments": {...}}` or with `parameters`; undefined for anything else. */
export function readCall(json: string): { name: string; arguments: string } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  return callOf(value);
}

export function callOf(value: unknown): { name: string; arguments: string } | undefined {
  const { name, arguments: args, parameters } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string') return undefined;
  const callArguments = args ?? parameters ?? {};
  return { name, arguments: typeof callArguments === 'string' ? callArguments : JSON.stringify(callArguments) };
}

/** Finds the end of a JSON object or array in text that comes in pieces. */
export function createJsonScanner(): { scan(text: string): number | undefined } {
  let depth = 0;
  let inString = false;
  let isEscaped = false;
  return {
    /** Takes more text; gives the index behind the end of the value where it lies in this text. */
    scan(text) {
      for (let index = 0; index < text.length; index++) {
        const character = text[index];
        if (isEscaped) isEscaped = false;
        else if (inString) {
          if (character === '\\') isEscaped = true;
          else if (character === '"') inString = false;
        } else if (character === '"') inString = true;
        else if (character === '{' || character === '[') depth++;
        else if (character === '}' || character === ']') {
          depth--;
          if (depth <= 0) return index + 1;
        }
      }
      return undefined;
    },
  };
}

/** Length of the longest end of `text` that `marker` begins with, itself not whole. */
export function partialMarker(text: string, marker: string): number {
  for (let length = Math.min(text.length, marker.length - 1); length > 0; length--) {
    if (marker.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}

/** The parts without empty texts. */
export const nonEmpty = (parts: AnswerPart[]): AnswerPart[] =>
  parts.filter((part) => !('text' in part) || part.text !== '');
