/** A chat as every API's requests become one. */
import type { ChatMessage, ToolDefinition } from '@keysieve/llm';
import type { JobOptions } from './run.ts';

/** Whether the model may, must or must not call tools. */
export type ToolChoice = 'auto' | 'none' | 'required' | { name: string };

/** What the text of an answer must be. */
export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json' }
  | { type: 'schema'; schema: Record<string, unknown> | boolean };

export interface ChatJob extends JobOptions {
  messages: readonly ChatMessage[];
  tools: readonly ToolDefinition[];
  toolChoice: ToolChoice;
  /** Variables of the chat template: see `RenderOptions.variables`. */
  templateVariables: Readonly<Record<string, unknown>>;
  /** Whether an answer may hold more than one call. */
  parallelToolCalls: boolean;
  format: ResponseFormat;
}
