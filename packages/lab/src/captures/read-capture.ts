/** Reads captures: queries, keys and values of real heads, in the format that `docs/captures.md` describes. */
import { labError } from '../errors.ts';
import type { CapturedHead } from './captured-head.ts';
import { openTensors } from './safetensors.ts';

/** The heads of a capture. Throws `file-not-found` or `invalid-file`. */
export async function readCapture(path: string): Promise<CapturedHead[]> {
  const file = await openTensors(path);
  const names = file.names.filter((name) => name.endsWith('.k')).map((name) => name.slice(0, -2));
  const invalidCapture = (problem: string, found: string) =>
    labError({
      code: 'invalid-file',
      problem: `${path} ${problem}`,
      found,
      remedy:
        'A capture has NAME.k and NAME.v (n, d) and NAME.q (query heads, last positions, d) for each key-value head.',
    });
  if (names.length === 0) throw invalidCapture('has no captured heads.', file.names.join(', ') || 'no tensors');
  return names.map((name) => {
    const [k, v, q] = [file.tensor(`${name}.k`), file.tensor(`${name}.v`), file.tensor(`${name}.q`)];
    const [n = 0, headDim = 0] = k.shape;
    const [group = 0, lastQueries = 0, width = 0] = q.shape;
    const isValid =
      k.shape.length === 2 &&
      q.shape.length === 3 &&
      k.shape.join() === v.shape.join() &&
      width === headDim &&
      lastQueries <= n &&
      headDim % 8 === 0 &&
      k.numbers.length * q.numbers.length > 0;
    if (!isValid) throw invalidCapture(`has inconsistent shapes for ${name}.`, `${k.shape} / ${v.shape} / ${q.shape}`);
    return { name, headDim, n, group, lastQueries, keys: k.numbers, values: v.numbers, queries: q.numbers };
  });
}
