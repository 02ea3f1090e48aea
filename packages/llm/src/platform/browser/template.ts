/** Renders chat templates in the thread that asks. Who loads models of strangers does so in a worker, which can be ended. */
import { Template } from '@huggingface/jinja';
import type { TemplateRequest, TemplateResult } from '../platform.ts';

/** UTF-16 units of the rendered text. */
const MAX_CHARACTERS = 2 ** 26;

let parsed: { source: string; template: Template } | undefined;

export function runTemplate({ source, variables }: TemplateRequest): TemplateResult {
  let stage: 'parse' | 'render' = 'parse';
  try {
    if (parsed?.source !== source) parsed = { source, template: new Template(source) };
    stage = 'render';
    const text = variables === undefined ? '' : parsed.template.render(variables);
    if (text.length > MAX_CHARACTERS) return { failed: 'limit', found: `a text of ${text.length} characters` };
    return { text };
  } catch (error) {
    return { failed: stage, found: error instanceof Error ? error.message : String(error) };
  }
}
