/** `{"name": ..., "parameters": {...}}` as the whole answer, `<|python_tag|>` before it or not: Llama 3.1 and later. */
import {
  type AnswerPart,
  callTags,
  createJsonScanner,
  nonEmpty,
  partialMarker,
  readCall,
  type ToolFormat,
} from './tool-format.ts';

const TAG = '<|python_tag|>';

type State =
  /** Nothing but space so far. */
  | { kind: 'start' }
  | { kind: 'json'; scanner: ReturnType<typeof createJsonScanner>; scanned: number }
  | { kind: 'text' };

function createParser() {
  let pending = '';
  let state: State = { kind: 'start' };

  function append(text: string): AnswerPart[] {
    pending += text;
    const parts: AnswerPart[] = [];
    while (step(parts));
    return nonEmpty(parts);
  }

  /** Whether there may be more to do. */
  function step(parts: AnswerPart[]): boolean {
    if (state.kind === 'start') {
      const rest = pending.replace(/^[\s;]+/, '');
      if (rest === '' || partialMarker(rest, TAG) === rest.length) return false;
      if (rest.startsWith(TAG)) {
        pending = rest.slice(TAG.length);
        return true;
      }
      state = rest.startsWith('{') ? { kind: 'json', scanner: createJsonScanner(), scanned: 0 } : { kind: 'text' };
      if (state.kind === 'json') pending = rest;
      return true;
    }
    if (state.kind === 'json') {
      const end = state.scanner.scan(pending.slice(state.scanned));
      if (end === undefined) {
        state.scanned = pending.length;
        return false;
      }
      const json = pending.slice(0, state.scanned + end);
      pending = pending.slice(json.length);
      const call = readCall(json);
      parts.push(call === undefined ? { text: json } : { call });
      state = call === undefined ? { kind: 'text' } : { kind: 'start' };
      return true;
    }
    parts.push({ text: pending });
    pending = '';
    return false;
  }

  function flush(): AnswerPart[] {
    const rest = pending;
    pending = '';
    return state.kind === 'start' ? [] : nonEmpty([{ text: rest }]);
  }

  return { append, flush };
}

const llama3: ToolFormat = {
  name: 'llama3',
  matches: (template) => template.includes(TAG) || /"parameters": ?dictionary/.test(template),
  specialTexts: [TAG],
  createParser,
  requiredCalls: (tools, parallel) => ({
    type: 'tags_with_separator',
    tags: callTags(tools, (name) => `{"name": ${JSON.stringify(name)}, "parameters": `, '}'),
    separator: '; ',
    at_least_one: true,
    stop_after_first: !parallel,
  }),
};

export default llama3;
