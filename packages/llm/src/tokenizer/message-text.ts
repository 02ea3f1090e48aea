/**
 * Keeps the text of messages text. A chat template puts messages between control tokens, such as `<|im_end|>`, and the
 * tokenizer finds these by their names in what it rendered; a message that contains such a name would end its own turn
 * and forge the next one. So a mark is put behind the first character of whatever might begin such a name in a message,
 * the template is rendered, the control tokens are found, and the marks are taken out of the text between them.
 */
import type { AddedToken } from './tokenizer-json.ts';

/** U+FDD0, a noncharacter: Unicode keeps it for use inside a program. */
const MARK = '\uFDD0';

export interface MarkOptions {
  /** Who speaks. */
  role: string;
  templateSource: string;
  /** Mark names of control tokens alone, not what might become one: for texts that templates compare. Default: false. */
  wholeNames?: boolean;
}

export interface MessageMarker {
  /** A message, a tool, or a part of them, with marks in all of its texts. */
  mark<T>(value: T, options: MarkOptions): T;
}

export const removeMarks = (text: string): string => text.replaceAll(MARK, '');

/**
 * Control tokens are the special ones and, but for what the model itself has said (the role `assistant`), those that
 * the template names: it may look for the end of reasoning in an answer. Other added tokens, for example for runs of
 * spaces, stay tokens everywhere.
 */
export function createMessageMarker(addedTokens: readonly AddedToken[]): MessageMarker {
  const special = addedTokens.filter((token) => token.special).map(({ content }) => content);
  const others = addedTokens.filter((token) => !token.special).map(({ content }) => content);
  const namedIn = memoizeLast((source: string) => {
    const named = others.filter((name) => isTag(name) && source.includes(name));
    const soughtTags = source.match(/<\/?[\w|:-]+>/g) ?? [];
    return { named, soughtTags };
  });
  const namesFor = memoizeLast((source: string, isAnswer: boolean) => {
    const { named, soughtTags } = namedIn(source);
    const control = new Set(isAnswer ? special : [...special, ...named]);
    const plain = [...others, ...soughtTags].filter((name) => !control.has(name));
    return { control: prefixFinder([...control]), plain: prefixFinder(plain) };
  });

  function mark<T>(value: T, options: MarkOptions): T;
  function mark(value: unknown, options: MarkOptions): unknown {
    if (typeof value === 'string') return markText(value, options);
    if (Array.isArray(value)) return value.map((item) => mark(item, options));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [markText(key, options), mark(item, options)]),
    );
  }

  function markText(text: string, options: MarkOptions): string {
    const { role, templateSource } = options;
    const { control, plain } = namesFor(templateSource, role === 'assistant');
    const clean = text.replaceAll(MARK, '\uFFFD');
    let marked = '';
    let from = 0;
    for (let at = 0; at < clean.length; at++) {
      const character = clean[at] as string;
      if (!control.beginsWith(character)) continue;
      // Templates trim, split and join messages, which can put a name together: every character that might begin one
      // is marked, but for what the template may look for.
      if (!control.isAt(clean, at) && (options.wholeNames || plain.isAt(clean, at))) continue;
      marked += clean.slice(from, at + 1) + MARK;
      from = at + 1;
    }
    return marked + clean.slice(from);
  }

  return { mark };
}

const isTag = (name: string) => /^[^\p{L}\p{N}\s].*\S$/u.test(name);

interface PrefixFinder {
  /** Whether a name begins with this character. */
  beginsWith(character: string): boolean;
  /** Whether a name stands at this place of the text. */
  isAt(text: string, at: number): boolean;
}

function prefixFinder(names: readonly string[]): PrefixFinder {
  const all = new Set(names);
  const lengthsByFirst = new Map<string, Set<number>>();
  for (const name of names) {
    const lengths = lengthsByFirst.get(name[0] as string) ?? new Set();
    lengthsByFirst.set(name[0] as string, lengths.add(name.length));
  }
  return {
    beginsWith: (character) => lengthsByFirst.has(character),
    isAt(text, at) {
      for (const length of lengthsByFirst.get(text[at] as string) ?? []) {
        if (all.has(text.slice(at, at + length))) return true;
      }
      return false;
    },
  };
}

/** Remembers the value of the last arguments: a conversation has one template. */
function memoizeLast<A extends unknown[], T>(make: (...args: A) => T): (...args: A) => T {
  let last: { args: A; value: T } | undefined;
  return (...args) => {
    if (last === undefined || last.args.some((arg, i) => arg !== args[i])) last = { args, value: make(...args) };
    return last.value;
  };
}
