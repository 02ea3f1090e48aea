/** Numbers in the sentences of pages, which no line breaks apart. */
import { formatShare } from '../../format/format.ts';

/** 3.2 %, with a space that holds together. */
export const percent = (value: number): string => formatShare(value).replace(' ', '\u00a0');

/** 0.58, −0.02; and no zero with a sign. */
export const exponent = (value: number): string =>
  value
    .toFixed(2)
    .replace(/^-(0\.00)$/, '$1')
    .replace('-', '\u2212');
