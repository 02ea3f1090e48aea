/**
 * What a balancer may route by, so that prompts with the same beginning come to the same replica: a hash of the first
 * tokens, the same on every server of the model, and in whatever way the prompt is attended to.
 */
import { createHash } from 'node:crypto';
import { PAGE_KEYS } from 'keysieve';

export const PREFIX_HEADER = 'X-Keysieve-Prefix';

/** Further on, prompts may depart: a hash of all pages would be another one with every turn of a chat. */
const MAX_PAGES = 16;

/**
 * 128 bits of SHA-256, in hexadecimal, over the first 64, 128, 256, 512 or 1,024 tokens of a prompt as little-endian
 * uint32: the most of them that it has. Undefined for a prompt of fewer than 64 tokens.
 */
export function prefixHash(prompt: Int32Array): string | undefined {
  const full = Math.min(MAX_PAGES, Math.floor(prompt.length / PAGE_KEYS));
  if (full === 0) return undefined;
  const tokens = prompt.subarray(0, PAGE_KEYS * 2 ** Math.floor(Math.log2(full)));
  const bytes = new DataView(new ArrayBuffer(4 * tokens.length));
  for (const [i, token] of tokens.entries()) bytes.setUint32(4 * i, token, true);
  return createHash('sha256').update(new Uint8Array(bytes.buffer)).digest('hex').slice(0, 32);
}
