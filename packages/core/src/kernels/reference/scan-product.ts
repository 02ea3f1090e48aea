/** What a scan knows of a key beside its page's centre. */
import { classCodes, hasBasis, type QuantizedKey, signRow } from '../quantized-rows.ts';
import { inverseRotate } from '../rotation.ts';
import { classRows } from '../scan-basis.ts';
import type { Views } from '../views.ts';
import { dot } from './rows.ts';

/** The estimate of <q, y> for a rotated query (D): f <Rq, sign y>, or the sum over the classes of <q', f z'>. */
export function scanProduct(views: Views, key: QuantizedKey, query: Float64Array): number {
  const { pages } = key;
  if (!hasBasis(views, pages)) return dot(query, signRow(views, key));
  const classes = classRows(views, pages.basis, inverseRotate(query, pages.headDim), 'query');
  const codes = classCodes(views, key);
  return dot(classes[0], codes[0]) + dot(classes[1], codes[1]);
}
