/**
 * Remembers the tokens of words. It takes the place of the cache of @huggingface/tokenizers, which deletes and
 * inserts a word at each use: in V8's Map a word that comes often then leaves thousands of deleted entries in its
 * bucket, and looking it up takes longer than merging it anew (2 MB of one short word took 40 s).
 */

/** Words in one generation; two of them are kept. */
const capacity = 1 << 15;

/** What the library's byte-pair model asks of its public field `cache`. */
export interface WordCache {
  get(word: string): string[] | undefined;
  put(word: string, tokens: string[]): void;
  clear(): void;
}

export function createWordCache(): WordCache {
  let young = new Map<string, string[]>();
  let old = new Map<string, string[]>();

  function put(word: string, tokens: string[]): void {
    if (young.size >= capacity) {
      old = young;
      young = new Map();
    }
    young.set(word, tokens);
  }

  function get(word: string): string[] | undefined {
    const tokens = young.get(word);
    if (tokens !== undefined) return tokens;
    const oldTokens = old.get(word);
    if (oldTokens !== undefined) put(word, oldTokens);
    return oldTokens;
  }

  function clear(): void {
    young = new Map();
    old = new Map();
  }

  return { get, put, clear };
}
