/** `POST /tokenize` and `/detokenize`, as llama.cpp's server has them. */
import type { Tokenizer } from '@keysieve/llm';
import { z } from 'zod';

export const tokenizeRequest = z.object({
  content: z.string(),
  model: z.string().nullish(),
  /** Whether the token for the beginning of a text comes first, where the model expects it. */
  add_special: z.boolean().nullish(),
  /** Whether each token comes with its text. */
  with_pieces: z.boolean().nullish(),
});

export function tokenize(
  { content, add_special, with_pieces }: z.output<typeof tokenizeRequest>,
  tokenizer: Tokenizer,
): { tokens: number[] | { id: number; piece: string }[] } {
  const { bosToken, addBos } = tokenizer;
  const ids = [...tokenizer.encode(content)];
  if (add_special && addBos && bosToken !== undefined) ids.unshift(bosToken);
  return { tokens: with_pieces ? ids.map((id) => ({ id, piece: tokenizer.decode([id]) })) : ids };
}

export const detokenizeRequest = z.object({ tokens: z.array(z.int().min(0)), model: z.string().nullish() });

/** Throws `invalid-argument` for an id that is no token. */
export const detokenize = ({ tokens }: z.output<typeof detokenizeRequest>, tokenizer: Tokenizer) => ({
  content: tokenizer.decode(tokens),
});
