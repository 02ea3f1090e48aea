/**
 * Drafts of what comes next, looked up in what has been read and written: where the last tokens stood before, those that
 * followed them then are proposed, and checked in one pass with the token that is decoded anyway. Answers that repeat their
 * prompt get several tokens a pass; for others, acceptance soon says that nothing is to be proposed. Nothing here looks at a
 * clock: the rows of a pass decide how its numbers are rounded, and the same prompt must give the same answer.
 * (Prompt lookup decoding: github.com/apoorvumang/prompt-lookup-decoding; as a form of speculative decoding, arXiv
 * 2211.17192.)
 */

/** Proposes drafts for one answer. */
export interface PromptLookup {
  /** At most `maxTokens` tokens that may follow on `tokens`, the prompt and the answer so far. */
  propose(tokens: readonly number[], maxTokens: number): number[];
  /** Takes what became of a pass with a draft of `proposed` tokens, of which the first `accepted` were right. */
  learn(pass: { proposed: number; accepted: number }): void;
}

/** Tokens that must have stood before in the same order. */
const NGRAM = 3;
/** Most tokens of a draft: with the one that is decoded anyway, a pass has 8 rows. */
export const MAX_DRAFT_TOKENS = 7;
/** Gain in tokens a pass, over what it costs, from which a draft is worth it. */
const MIN_GAIN = 1.1;
/** Where drafts do not pay, one in this number of chances is taken all the same, to see whether they do by now. */
const PROBE_EVERY = 32;
/** How likely a proposed token is believed to be right at first. */
const FIRST_ACCEPTANCE = 0.5;
/** What a proposed token is taken to add to the time of a pass, relative to a pass without any. */
const COST = 0.3;
const MIN_LEARNING_RATE = 0.05;

export function createPromptLookup(): PromptLookup {
  /** By a hash of the n-gram, the position behind its last occurrence that something follows on. */
  const positions = new Map<number, number>();
  let indexed = NGRAM;
  let acceptance = FIRST_ACCEPTANCE;
  let checked = 0;
  let chances = 0;

  function index(tokens: readonly number[]): void {
    // An answer that was cut leaves positions that no longer hold what they did: `find` looks.
    for (; indexed < tokens.length; indexed++) positions.set(hashAt(tokens, indexed), indexed);
  }

  /** The position behind an earlier occurrence of the last tokens. */
  function find(tokens: readonly number[]): number | undefined {
    const end = tokens.length;
    const position = positions.get(hashAt(tokens, end));
    if (position === undefined || position >= end) return undefined;
    for (let back = 1; back <= NGRAM; back++) if (tokens[position - back] !== tokens[end - back]) return undefined;
    return position;
  }

  /** Tokens a pass is expected to give with a draft of `count`, over its time, both relative to a pass without one. */
  function gain(count: number): number {
    let expected = 1;
    for (let i = 1; i <= count; i++) expected += acceptance ** i;
    return expected / (1 + COST * count);
  }

  function bestCount(maxTokens: number): number {
    let best = 0;
    for (let count = 1; count <= maxTokens; count++) if (gain(count) > gain(best)) best = count;
    return best > 0 && gain(best) >= MIN_GAIN ? best : 0;
  }

  return {
    propose(tokens, maxTokens) {
      index(tokens);
      const position = maxTokens < 1 || tokens.length < NGRAM ? undefined : find(tokens);
      if (position === undefined) return [];
      const count = bestCount(Math.min(maxTokens, MAX_DRAFT_TOKENS));
      const probes = count === 0 && ++chances % PROBE_EVERY === 0;
      return tokens.slice(position, position + (probes ? 1 : count));
    },
    learn({ proposed, accepted }) {
      // The first token that is wrong says nothing of those behind it.
      for (let i = 0; i < Math.min(proposed, accepted + 1); i++) {
        const rate = Math.max(MIN_LEARNING_RATE, 1 / (++checked + 2));
        acceptance += rate * (Number(i < accepted) - acceptance);
      }
    },
  };
}

/** Hash of the tokens before a position. */
function hashAt(tokens: readonly number[], end: number): number {
  let hash = 0;
  for (let i = end - NGRAM; i < end; i++) hash = (Math.imul(hash, 0x9e3779b1) + (tokens[i] as number) + 1) | 0;
  return hash;
}
