/** `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen, and models that are told so in a message. */
import { type AnswerPart, callTags, nonEmpty, partialMarker, readCall, type ToolFormat } from './tool-format.ts';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

function createParser() {
  let pending = '';
  let inCall = false;
  /** Line breaks between calls and after them are part of the form. */
  let afterCall = false;
  /** Where to look for the end of a call: before that there is none. */
  let searched = 0;

  function append(text: string): AnswerPart[] {
    pending += text;
    const parts: AnswerPart[] = [];
    for (;;) {
      if (afterCall) pending = pending.trimStart();
      if (pending !== '') afterCall = false;
      const marker = inCall ? CLOSE : OPEN;
      const at = pending.indexOf(marker, searched);
      if (at === -1) break;
      const before = pending.slice(0, at);
      pending = pending.slice(at + marker.length);
      parts.push(inCall ? parseCall(before) : { text: before });
      afterCall = inCall;
      inCall = !inCall;
      searched = 0;
    }
    if (inCall) searched = Math.max(0, pending.length - CLOSE.length);
    else {
      const held = partialMarker(pending, OPEN);
      parts.push({ text: pending.slice(0, pending.length - held) });
      pending = pending.slice(pending.length - held);
    }
    return nonEmpty(parts);
  }

  function flush(): AnswerPart[] {
    const rest = pending;
    pending = '';
    if (!inCall) return nonEmpty([{ text: rest }]);
    // Some models end without the closing tag.
    return [parseCall(rest)];
  }

  return { append, flush };
}

function parseCall(text: string): AnswerPart {
  const call = readCall(text);
  return call === undefined ? { text: `${OPEN}${text}` } : { call };
}

const begin = (name: string) => `${OPEN}\n{"name": ${JSON.stringify(name)}, "arguments": `;
const END = `}\n${CLOSE}`;

const hermes: ToolFormat = {
  name: 'hermes',
  matches: (template) => template.includes(OPEN),
  specialTexts: [OPEN, CLOSE],
  createParser,
  requiredCalls: (tools, parallel) => ({
    type: 'tags_with_separator',
    tags: callTags(tools, begin, END),
    separator: '\n',
    at_least_one: true,
    stop_after_first: !parallel,
  }),
  optionalCalls: (tools, parallel) => ({
    type: 'triggered_tags',
    triggers: [OPEN],
    tags: callTags(tools, begin, END),
    at_least_one: false,
    stop_after_first: !parallel,
  }),
};

export default hermes;
