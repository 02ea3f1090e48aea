/** `[TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]`, or `[TOOL_CALLS]NAME[ARGS]{...}` in later models: Mistral. */
import {
  type AnswerPart,
  callOf,
  callTags,
  createJsonScanner,
  nonEmpty,
  partialMarker,
  type ToolFormat,
} from './tool-format.ts';

const OPEN = '[TOOL_CALLS]';
const ARGUMENTS = '[ARGS]';

function createParser() {
  let pending = '';
  let inCalls = false;
  let scanner = createJsonScanner();
  let scanned = 0;

  function append(text: string): AnswerPart[] {
    pending += text;
    const parts: AnswerPart[] = [];
    for (;;) {
      if (!inCalls) {
        const at = pending.indexOf(OPEN);
        const end = at === -1 ? pending.length - partialMarker(pending, OPEN) : at;
        parts.push({ text: pending.slice(0, end) });
        pending = pending.slice(end);
        if (at === -1) break;
        pending = pending.slice(OPEN.length);
        inCalls = true;
        scanner = createJsonScanner();
        scanned = 0;
      }
      const end = scanner.scan(pending.slice(scanned).replaceAll(ARGUMENTS, ' '.repeat(ARGUMENTS.length)));
      if (end === undefined) {
        // A marker that has not come whole must not be taken for an array.
        scanned = pending.length - partialMarker(pending, ARGUMENTS);
        if (scanned < pending.length) scanner = rescan(pending.slice(0, scanned));
        break;
      }
      const calls = pending.slice(0, scanned + end);
      pending = pending.slice(calls.length);
      parts.push(...parseCalls(calls));
      inCalls = false;
    }
    return nonEmpty(parts);
  }

  function flush(): AnswerPart[] {
    const rest = inCalls ? OPEN + pending : pending;
    pending = '';
    return nonEmpty([{ text: rest }]);
  }

  return { append, flush };
}

function rescan(text: string): ReturnType<typeof createJsonScanner> {
  const scanner = createJsonScanner();
  scanner.scan(text.replaceAll(ARGUMENTS, ' '.repeat(ARGUMENTS.length)));
  return scanner;
}

function parseCalls(text: string): AnswerPart[] {
  const named = /^\s*([\w.-]+)\s*(?:\[ARGS\])?\s*(\{.*\})$/s.exec(text);
  try {
    if (named !== null) {
      return [{ call: { name: named[1] as string, arguments: JSON.stringify(JSON.parse(named[2] as string)) } }];
    }
    const values: unknown = JSON.parse(text);
    const calls = (Array.isArray(values) ? values : [values]).map(callOf);
    if (calls.length > 0 && calls.every((call) => call !== undefined)) return calls.map((call) => ({ call }));
  } catch {
    // It is text then.
  }
  return [{ text: `${OPEN}${text}` }];
}

const mistral: ToolFormat = {
  name: 'mistral',
  matches: (template) => template.includes(OPEN),
  specialTexts: [OPEN, ARGUMENTS],
  createParser,
  requiredCalls: (tools, parallel) => ({
    type: 'sequence',
    elements: [
      { type: 'const_string', value: `${OPEN}[` },
      {
        type: 'tags_with_separator',
        tags: callTags(tools, (name) => `{"name": ${JSON.stringify(name)}, "arguments": `, '}'),
        separator: ', ',
        at_least_one: true,
        stop_after_first: !parallel,
      },
      { type: 'const_string', value: ']' },
    ],
  }),
};

export default mistral;
