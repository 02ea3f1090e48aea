/**
 * Sums of a query's scores by distance: from those of many queries it can be told how much of a head's scores a profile
 * over distances explains, in memory that grows neither with the queries nor with the keys.
 *
 * Buckets are one distance wide up to 8, and an eighth of an octave beyond, as in a floating-point number of three bits.
 */

const BITS = 3;
const BUCKETS_PER_OCTAVE = 2 ** BITS;

/** The bucket of a distance, query position minus key position. */
export function distanceBucket(distance: number): number {
  if (distance < BUCKETS_PER_OCTAVE) return distance;
  const octave = 31 - Math.clz32(distance) - BITS;
  return octave * BUCKETS_PER_OCTAVE + (distance >>> octave);
}

/** The smallest distance of a bucket. */
export function bucketStart(bucket: number): number {
  const octave = Math.max(0, Math.floor(bucket / BUCKETS_PER_OCTAVE) - 1);
  return (bucket - octave * BUCKETS_PER_OCTAVE) * 2 ** octave;
}

/**
 * Adds up the scores of the keys from position `firstKey` on, each less their mean, by the bucket of their distance, into
 * `sums`, which has a bucket for every distance. Gives the sum of their squares.
 */
export function sumByDistance(scores: Float32Array, firstKey: number, sums: Float32Array): number {
  sums.fill(0);
  const count = scores.length - firstKey;
  if (count <= 0) return 0;
  let total = 0;
  for (let j = firstKey; j < scores.length; j++) total += scores[j] as number;
  const mean = total / count;
  let squares = 0;
  for (let start = 0, bucket = 0; start < count; bucket++) {
    const end = Math.min(count, bucketStart(bucket + 1));
    let sum = 0;
    for (let distance = start; distance < end; distance++) {
      const score = (scores[scores.length - 1 - distance] as number) - mean;
      sum += score;
      squares += score * score;
    }
    sums[bucket] = sum;
    start = end;
  }
  return squares;
}
