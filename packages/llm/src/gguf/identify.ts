/**
 * Says what a file is that is not GGUF, from its first bytes, so that the error can name the mistake.
 */

/** First match wins; the text is the file's beginning with one character a byte. */
const signatures: readonly (readonly [matches: (text: string) => boolean, what: string])[] = [
  [(text) => text === '', 'an empty file'],
  [(text) => text.startsWith('PK\u0003\u0004'), 'a zip archive, such as a PyTorch checkpoint'],
  [(text) => text.startsWith('\u001f\u008b'), 'a gzip archive'],
  [(text) => /^(ggml|lmgg|tjgg|fmgg|algg)/.test(text), 'an older ggml file'],
  [(text) => text.startsWith('version https://git-lfs'), 'a Git LFS pointer instead of the file that it stands for'],
  [(text) => /^\s*(<!doctype html|<html)/i.test(text), 'an HTML page, such as an error page that was saved'],
  // Eight bytes of length, of which the last two are zero in any real file, then JSON.
  [(text) => text.slice(6, 8) === '\0\0' && text[8] === '{', 'a safetensors file'],
  [(text) => /^\s*[[{]/.test(text), 'a JSON file'],
];

/** Text with one character a byte. */
export function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** What the file seems to be, for `found` in an error. `bytes` is its beginning. */
export function identify(bytes: Uint8Array): string {
  const text = latin1(bytes);
  const description = signatures.find(([matches]) => matches(text))?.[1];
  if (description !== undefined) return description;
  const hexBytes = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `a file that begins with the bytes ${hexBytes}`;
}
