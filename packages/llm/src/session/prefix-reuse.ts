/** What a session takes from a prefix store, and gives to it. */
import { PAGE_KEYS } from 'keysieve';
import type { PrefixStore } from '../prefixes/index.ts';
import { type CacheSettings, commonPrefix } from '../snapshot/settings.ts';
import type { Sequence } from './forward-pass.ts';

/** The first token of a prompt that is not the one that was kept behind the same beginning. */
export interface Difference {
  position: number;
  /** The token that was kept, and the prompt's. */
  cached: number;
  prompt: number;
}

/** Between one session and the store. */
export interface PrefixReuse {
  /**
   * Appends what of a prompt is in the store behind the first `common` tokens, which the cache has; these may be cut to a
   * full page. Returns the tokens of the prompt that the cache has then.
   */
  extend(prompt: Int32Array, common: number, truncate: (length: number) => void): Promise<number>;
  /** Keeps the full pages from those of `length` tokens on. */
  keep(length: number): void;
  /** Where the prompt departs from what is kept behind its first `reused` tokens. */
  difference(prompt: Int32Array, reused: number): Promise<Difference | undefined>;
}

export function createPrefixReuse(
  prefixes: PrefixStore,
  sequence: Sequence,
  settings: () => Promise<CacheSettings>,
): PrefixReuse {
  const { attention, tokens } = sequence;
  /** The settings, once they were asked for: nothing is kept before. */
  let current: CacheSettings | undefined;
  return {
    async extend(prompt, common, truncate) {
      current ??= await settings();
      const from = Math.floor(common / PAGE_KEYS);
      // The last token is read in any case, for its logits.
      const usable = prompt.subarray(0, prompt.length - 1);
      let isCut = false;
      const found = await prefixes.find(current, attention.engine, usable, from, (page) => {
        if (!isCut) truncate(from * PAGE_KEYS);
        isCut = true;
        attention.cache.sharePages([page.page]);
        for (const token of page.tokens) tokens.push(token);
        if (page.headErrors !== undefined) attention.restoreHeadErrors(page.headErrors);
      });
      return found === 0 ? common : (from + found) * PAGE_KEYS;
    },
    keep(length) {
      if (current === undefined) return;
      prefixes.keep(current, sequence, Math.floor(length / PAGE_KEYS), attention.headErrors);
    },
    async difference(prompt, reused) {
      if (current === undefined) return undefined;
      const page = Math.floor(reused / PAGE_KEYS);
      const nearest = await prefixes.nearest(current, prompt, page);
      return nearest && differenceOf(nearest, prompt, page * PAGE_KEYS);
    },
  };
}

/** The first difference of `kept` tokens from those of a prompt from `from` on; undefined where one begins as the other. */
export function differenceOf(kept: ArrayLike<number>, prompt: Int32Array, from = 0): Difference | undefined {
  const rest = prompt.subarray(from);
  const at = commonPrefix(kept, rest);
  if (at === kept.length || at === rest.length) return undefined;
  return { position: from + at, cached: kept[at] as number, prompt: rest[at] as number };
}
