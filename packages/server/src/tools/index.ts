/** The forms of calls. A new one is a file here and a line in this list; the first that matches a template is taken. */
import hermes from './hermes.ts';
import llama3 from './llama3.ts';
import mistral from './mistral.ts';
import type { ToolFormat } from './tool-format.ts';

export const TOOL_FORMATS: readonly ToolFormat[] = [hermes, mistral, llama3];

/** The form of calls that a chat template asks for, and the one that models are asked for by a message otherwise. */
export const toolFormatOf = (template: string): ToolFormat =>
  TOOL_FORMATS.find((format) => format.matches(template)) ?? hermes;

export { presentTools } from './present-tools.ts';
export type { AnswerPart, ToolCallParser, ToolFormat } from './tool-format.ts';
