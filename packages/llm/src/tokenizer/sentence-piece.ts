/**
 * The tokenizer.json of a SentencePiece byte-pair model (`tokenizer.ggml.model` = llama), made from a GGUF's
 * metadata. Such a file has a score for each token in place of a list of merges: the pair whose joint token scores
 * best is merged first, which as a list is all pairs by falling score (as transformers' convert_slow_tokenizer.py
 * makes it).
 */
import { invalid } from '../gguf/errors.ts';
import type { GgufMetadata } from '../gguf/metadata.ts';
import { addedTokens, vocabOf } from './byte-pair.ts';
import type { Step, TokenizerJson } from './tokenizer-json.ts';
import { splitStep } from './tokenizer-json.ts';
import type { Vocabulary } from './vocabulary.ts';
import { tokenTypes } from './vocabulary.ts';

/** Stands for a space (U+2581). */
export const spaceMark = '▁';

/** Throws `metadata-missing` or `gguf-invalid`. */
export function sentencePieceTokenizerJson(metadata: GgufMetadata, vocabulary: Vocabulary): TokenizerJson {
  const prefix = metadata.booleanOr('tokenizer.ggml.add_space_prefix', true);
  const unknown = Array.from(vocabulary.types).indexOf(tokenTypes.unknown);
  const spaces: Step = { type: 'Replace', pattern: { String: ' ' }, content: spaceMark };
  const decoders: Step[] = [
    { type: 'Replace', pattern: { String: spaceMark }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  if (prefix) decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  return {
    added_tokens: addedTokens(withSpaces(vocabulary)),
    normalizer: {
      type: 'Sequence',
      normalizers: prefix ? [{ type: 'Prepend', prepend: spaceMark }, spaces] : [spaces],
    },
    pre_tokenizer: wordsOf(vocabulary),
    post_processor: null,
    decoder: { type: 'Sequence', decoders },
    model: {
      type: 'BPE',
      vocab: vocabOf(vocabulary),
      merges: mergesOf(vocabulary, scoresOf(metadata, vocabulary)),
      unk_token: unknown < 0 ? null : vocabulary.tokens[unknown],
      fuse_unk: true,
      byte_fallback: true,
    },
  };
}

/**
 * Tokens that are found in text stand there as they are written, with spaces, which some converters have left as the mark
 * that SentencePiece knows them by.
 */
function withSpaces({ tokens, types }: Vocabulary): Vocabulary {
  const written = tokens.map((token, id) =>
    types[id] === tokenTypes.userDefined ? token.replaceAll(spaceMark, ' ') : token,
  );
  return { tokens: written, types };
}

/**
 * Where no token goes on past a space, merging never crosses from a word to the space behind it, and words can be
 * merged one by one: the same ids, without one long chain of pairs.
 */
function wordsOf({ tokens, types }: Vocabulary): Step | null {
  const crossing = new RegExp(`[^${spaceMark}]${spaceMark}`);
  const crosses = tokens.some((token, id) => types[id] === tokenTypes.normal && crossing.test(token));
  return crosses ? null : splitStep(`${spaceMark}*[^${spaceMark}]+|${spaceMark}+`);
}

function scoresOf(metadata: GgufMetadata, { tokens }: Vocabulary): ArrayLike<number> {
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores.length === tokens.length) return scores;
  throw invalid('The vocabulary has another number of scores than of tokens.', `${scores.length}, ${tokens.length}`);
}

/**
 * Characters of the parts that are looked up for merges: some 10^7 in real vocabularies, whose pieces have at most some
 * 20 characters. Tokens of thousands of characters would take minutes.
 */
const MAX_MERGE_CHARACTERS = 2 ** 28;

function mergesOf({ tokens, types }: Vocabulary, scores: ArrayLike<number>): [string, string][] {
  const characters = tokens.reduce(
    (sum, token, id) => (types[id] === tokenTypes.normal ? sum + token.length ** 2 : sum),
    0,
  );
  if (characters > MAX_MERGE_CHARACTERS) {
    const longest = tokens.reduce((max, token) => Math.max(max, token.length), 0);
    throw invalid('The tokens of the vocabulary are too long for SentencePiece.', `one of ${longest} characters`);
  }
  const pieces = new Set(tokens.filter((_, id) => types[id] === tokenTypes.normal));
  const pairs: { left: string; right: string; score: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (types[id] !== tokenTypes.normal) continue;
    for (let cut = 1; cut < token.length; cut++) {
      const left = token.slice(0, cut);
      const right = token.slice(cut);
      if (pieces.has(left) && pieces.has(right)) pairs.push({ left, right, score: scores[id] as number });
    }
  }
  // Array sorting is stable: pairs of one token stay together, the shortest left part first.
  pairs.sort((a, b) => b.score - a.score);
  return pairs.map(({ left, right }) => [left, right]);
}
