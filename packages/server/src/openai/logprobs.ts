/** Log-probabilities as OpenAI's APIs have them. */
import type { Tokenizer, TokenProbabilities, TokenProbability } from '@keysieve/llm';

/** JSON has no infinity; this is what OpenAI sends for the impossible. */
const IMPOSSIBLE = -9999;

/** `logprobs` of the chat API: an entry for each token. */
export function chatLogprobs(probabilities: readonly TokenProbabilities[], tokenizer: Tokenizer) {
  const describe = ({ token, logProbability }: TokenProbability) => ({
    token: tokenizer.decode([token]),
    logprob: finite(logProbability),
    bytes: [...tokenizer.tokenBytes(token)],
  });
  return {
    content: probabilities.map((each) => ({ ...describe(each), top_logprobs: each.top.map(describe) })),
    refusal: null,
  };
}

/** `logprobs` of the completions API: lists side by side; `offset` is where the text of the first token begins. */
export function completionLogprobs(probabilities: readonly TokenProbabilities[], tokenizer: Tokenizer, offset: number) {
  const tokens = probabilities.map(({ token }) => tokenizer.decode([token]));
  let at = offset;
  return {
    tokens,
    token_logprobs: probabilities.map(({ logProbability }) => finite(logProbability)),
    top_logprobs: probabilities.map(({ top }) =>
      Object.fromEntries(top.map((each) => [tokenizer.decode([each.token]), finite(each.logProbability)])),
    ),
    text_offset: tokens.map((token) => {
      at += token.length;
      return at - token.length;
    }),
  };
}

const finite = (x: number): number => Math.max(x, IMPOSSIBLE);
