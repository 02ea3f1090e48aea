/**
 * The tokenizer.json of a byte-level byte-pair model (`tokenizer.ggml.model` = gpt2), made from a GGUF's metadata.
 */
import { warn } from '#platform';
import { llmError } from '../errors.ts';
import { invalid, quoted } from '../gguf/errors.ts';
import type { GgufMetadata } from '../gguf/metadata.ts';
import type { PreTokenizer } from './pre-tokenizers.ts';
import { DEFAULT_PRE_TOKENIZER, preTokenizers } from './pre-tokenizers.ts';
import type { AddedToken, TokenizerJson } from './tokenizer-json.ts';
import { byteLevelStep, sequence, splitStep } from './tokenizer-json.ts';
import type { Vocabulary } from './vocabulary.ts';
import { tokenTypes } from './vocabulary.ts';

/** Throws `unsupported-tokenizer` for an unknown pre-tokenizer, `metadata-missing` or `gguf-invalid`. */
export function bytePairTokenizerJson(metadata: GgufMetadata, vocabulary: Vocabulary): TokenizerJson {
  const { patterns, ignoreMerges, nfc } = preTokenizerOf(metadata);
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: nfc ? { type: 'NFC' } : null,
    pre_tokenizer: sequence([...patterns.map(splitStep), byteLevelStep]),
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: vocabOf(vocabulary),
      merges: metadata.strings('tokenizer.ggml.merges').map(splitMerge),
      ignore_merges: ignoreMerges,
    },
  };
}

/** The pre-tokenizer that the file names. Where it names none, llama.cpp's default with a warning, as there. */
export function preTokenizerOf(metadata: GgufMetadata): PreTokenizer {
  const name = metadata.stringOr('tokenizer.ggml.pre', 'default');
  if (name === 'default') {
    warn('The GGUF file names no pre-tokenizer, so a default one cuts text into words: answers may suffer.', {
      code: 'default-pre-tokenizer',
      detail: "Convert the model again with a current llama.cpp, or put the model's tokenizer.json beside the file.",
    });
    return DEFAULT_PRE_TOKENIZER;
  }
  const preTokenizer = preTokenizers.get(name);
  if (preTokenizer !== undefined) return preTokenizer;
  throw llmError({
    code: 'unsupported-tokenizer',
    problem: 'The pre-tokenizer of the GGUF file is not supported.',
    found: name,
    remedy: `Put the model's tokenizer.json beside the file, or use one of: ${[...preTokenizers.keys()].join(', ')}.`,
  });
}

/**
 * Ids by token. Control tokens, which no merging of text may lead to, are left out, and so are empty tokens, the padding of a
 * vocabulary.
 */
export function vocabOf({ tokens, types }: Vocabulary): Record<string, number> {
  const vocab: Record<string, number> = Object.create(null);
  for (const [id, token] of tokens.entries()) {
    if (token !== '' && types[id] !== tokenTypes.control) vocab[token] = id;
  }
  return vocab;
}

/** The tokens that are found in text before it is cut into words. */
export function addedTokens({ tokens, types }: Vocabulary): AddedToken[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    const special = type === tokenTypes.control || type === tokenTypes.unknown;
    return content !== '' && (special || type === tokenTypes.userDefined)
      ? [{ id, content, special, normalized: false }]
      : [];
  });
}

/** `left right`; a token may itself begin with a space. */
function splitMerge(merge: string, index: number): [string, string] {
  const space = merge.indexOf(' ', 1);
  if (space < 0 || space === merge.length - 1) throw invalid(`Merge ${index} is not two tokens.`, quoted(merge));
  return [merge.slice(0, space), merge.slice(space + 1)];
}
