/** Small working vocabularies, trained on a few lines of text: byte pairs of GPT-2's kind, and SentencePiece's pieces. */
import { readFileSync } from 'node:fs';
import { byteCharacters } from '../byte-vocabulary.ts';
import type { WrittenValue } from '../gguf-writer.ts';

const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;

/** A tokenizer's metadata, and its tokens. */
export interface TinyTokenizer {
  model: 'gpt2' | 'llama';
  pre: string;
  tokens: readonly string[];
  types: readonly number[];
  scores?: readonly number[];
  merges?: readonly string[];
  /** Tokens by the names of their ids in the metadata. */
  ids: { bos?: string; eos?: string; unknown?: string; padding?: string; eot?: string };
  flags: { add_bos_token?: boolean; add_eos_token?: boolean; add_space_prefix?: boolean };
  template?: string;
}

export type Corpus = readonly string[];

/** The lines of a Python file's string `PROSE`, without empty ones. */
export function readCorpus(path: string): Corpus {
  const source = readFileSync(path, 'utf8');
  const [, text = ''] = /PROSE = """((?:[^\\"]|\\.|"(?!""))*)"""/s.exec(source) ?? [];
  return text
    .replace(/\\(.)/g, '$1')
    .split('\n')
    .filter((line) => line !== '');
}

const GPT2_WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

type Merge = readonly [left: number, right: number];

/** Merges the commonest pair of ids into the next id, `count` times; the smallest of equally common pairs. */
function trainMerges(sequences: readonly (readonly number[])[], firstId: number, count: number): Merge[] {
  const merges: Merge[] = [];
  let words = sequences.map((word) => [...word]);
  while (merges.length < count) {
    const counts = new Map<number, number>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const key = (word[i] as number) * 2 ** 20 + (word[i + 1] as number);
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    let best = -1;
    let most = 1;
    for (const [key, times] of counts) {
      if (times > most || (times === most && best >= 0 && key < best)) [best, most] = [key, times];
    }
    if (best < 0) break;
    const [left, right] = [Math.floor(best / 2 ** 20), best % 2 ** 20];
    const id = firstId + merges.length;
    merges.push([left, right]);
    words = words.map((word) => {
      const merged: number[] = [];
      for (let i = 0; i < word.length; i++) {
        const isPair = word[i] === left && word[i + 1] === right;
        merged.push(isPair ? id : (word[i] as number));
        if (isPair) i++;
      }
      return merged;
    });
  }
  return merges;
}

function trainBytePairs(corpus: Corpus, count: number): { tokens: string[]; merges: string[] } {
  const words = corpus.flatMap((line) => line.match(GPT2_WORDS) ?? []).map((word) => [...Buffer.from(word, 'utf8')]);
  const strings = [...byteCharacters];
  const tokens = [...byteCharacters];
  const merges: string[] = [];
  for (const [left, right] of trainMerges(words, 256, count)) {
    const joint = `${strings[left]}${strings[right]}`;
    strings.push(joint);
    merges.push(`${strings[left]} ${strings[right]}`);
    if (!tokens.includes(joint)) tokens.push(joint);
  }
  return { tokens, merges };
}

const SIZE = 512;

/** A byte-level tokenizer of 512 tokens with some control tokens. */
export function bytePairTokenizer(
  corpus: Corpus,
  pre: string,
  control: readonly string[],
  rest: Pick<TinyTokenizer, 'ids' | 'template'> & { flags?: TinyTokenizer['flags'] },
): TinyTokenizer {
  const { tokens, merges } = trainBytePairs(corpus, 260);
  const all = [...tokens, ...control];
  while (all.length < SIZE) all.push(`[PAD${all.length}]`);
  const types = all.map((_, id) =>
    id < tokens.length ? NORMAL : id < tokens.length + control.length ? CONTROL : UNUSED,
  );
  return { model: 'gpt2', pre, tokens: all, types, merges, flags: {}, ...rest };
}

export interface PieceOptions {
  control: readonly string[];
  userDefined?: readonly string[];
  /** Whether pieces may go on past a space. */
  crossing?: boolean;
}

/** SentencePiece's tokens: three special ones, the 256 bytes, then pieces by falling score. */
export function sentencePieceTokenizer(
  corpus: Corpus,
  { control, userDefined = [], crossing = false }: PieceOptions,
  rest: Pick<TinyTokenizer, 'ids' | 'flags'> & { template?: string },
): TinyTokenizer {
  const latin = corpus.filter((line) => Array.from(line).every((c) => (c.codePointAt(0) as number) < 0x250));
  const tokens = ['<unk>', '<s>', '</s>', ...control, ...userDefined];
  const types: number[] = tokens.map((_, id) =>
    id === 0 ? UNKNOWN : id < 3 + control.length ? CONTROL : USER_DEFINED,
  );
  for (let byte = 0; byte < 256; byte++) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    types.push(BYTE);
  }
  const scores = tokens.map(() => 0);
  const marked = latin.map((line) => line.replaceAll(' ', '▁'));
  const alphabet = [...new Set(marked.flatMap((line) => [...line]))].filter((c) => !'\n\r\t'.includes(c)).sort();
  const made = [...alphabet];
  const seen = new Set([...alphabet, ...tokens]);
  const merged: string[] = [];
  for (const [left, right] of trainMerges(piecesOf(marked, alphabet, crossing), alphabet.length, PIECE_MERGES)) {
    const piece = `${made[left]}${made[right]}`;
    made.push(piece);
    if (seen.has(piece)) continue;
    seen.add(piece);
    merged.push(piece);
  }
  for (const [rank, piece] of [...merged, ...alphabet].entries()) {
    if (tokens.includes(piece)) continue;
    tokens.push(piece);
    types.push(NORMAL);
    scores.push(-rank);
  }
  for (let i = 0; tokens.length < SIZE; i++) {
    tokens.push(`<unused${i}>`);
    types.push(UNUSED);
    scores.push(-10_000);
  }
  return { model: 'llama', pre: 'default', tokens, types, scores, ...rest };
}

const PIECE_MERGES = 110;

/** Runs of known characters, which end at spaces unless pieces may cross them. */
function piecesOf(lines: readonly string[], alphabet: readonly string[], crossing: boolean): number[][] {
  const index = new Map(alphabet.map((character, i) => [character, i]));
  const words = lines.flatMap((line) => (crossing ? [`▁${line}`] : (`▁${line}`.match(/▁*[^▁]+|▁+/g) ?? [])));
  return words.flatMap((word) => {
    const runs: number[][] = [[]];
    for (const character of word) {
      const id = index.get(character);
      if (id === undefined) runs.push([]);
      else runs.at(-1)?.push(id);
    }
    return runs.filter((run) => run.length > 0);
  });
}

/** The metadata of a tokenizer, in the order that converters write it. */
export function tokenizerMetadata(tokenizer: TinyTokenizer): [string, WrittenValue][] {
  const { model, pre, tokens, types, scores, merges, ids, flags, template } = tokenizer;
  const entries: [string, WrittenValue][] = [
    ['tokenizer.ggml.model', { type: 'string', value: model }],
    ['tokenizer.ggml.pre', { type: 'string', value: pre }],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens }],
  ];
  if (scores) entries.push(['tokenizer.ggml.scores', { type: 'array', of: 'f32', value: scores }]);
  entries.push(['tokenizer.ggml.token_type', { type: 'array', of: 'i32', value: types }]);
  if (merges) entries.push(['tokenizer.ggml.merges', { type: 'array', of: 'string', value: merges }]);
  for (const name of ['bos', 'eos', 'unknown', 'padding', 'eot'] as const) {
    const token = ids[name];
    if (token === undefined) continue;
    entries.push([`tokenizer.ggml.${name}_token_id`, { type: 'u32', value: tokens.indexOf(token) }]);
  }
  for (const name of ['add_bos_token', 'add_eos_token', 'add_space_prefix'] as const) {
    const value = flags[name];
    if (value !== undefined) entries.push([`tokenizer.ggml.${name}`, { type: 'bool', value }]);
  }
  if (template) entries.push(['tokenizer.chat_template', { type: 'string', value: template }]);
  return entries;
}
