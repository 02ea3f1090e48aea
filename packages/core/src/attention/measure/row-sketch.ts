/**
 * A query's row of softmax weights, projected to a few numbers: the right half S A T of a sketch of a head's attention
 * matrix A, from which the error of its best approximation of low rank is estimated (Li, Lin and Woodruff, arXiv
 * 2408.08494). T is a CountSketch: key j is added to number h(j) with the sign s(j), the same for all queries and heads.
 */

/** Weights below e^-10 of the largest are left out: of 100,000 keys they have at most 2e-4 of the squared length of a row. */
const NEGLIGIBLE_NATS = 10;

/** Where this thread adds each key of sketches of `placesSize` numbers: h(j), or ~h(j) where the sign is negative. */
let places = new Int32Array();
let placesSize = 0;

/** Writes the row, of length 1 before it is projected, into `sketch`; `max` is the largest of its scores. */
export function sketchRow(scores: Float32Array, max: number, sketch: Float32Array): void {
  if (places.length < scores.length || placesSize !== sketch.length) {
    placesSize = sketch.length;
    places = placesOf(2 * scores.length, placesSize);
  }
  sketch.fill(0);
  let squares = 0;
  for (let j = 0; j < scores.length; j++) {
    const below = max - (scores[j] as number);
    if (below > NEGLIGIBLE_NATS) continue;
    const weight = Math.exp(-below);
    squares += weight * weight;
    const place = places[j] as number;
    if (place < 0) sketch[~place] = (sketch[~place] as number) - weight;
    else sketch[place] = (sketch[place] as number) + weight;
  }
  const norm = Math.sqrt(squares);
  for (let i = 0; i < sketch.length; i++) sketch[i] = (sketch[i] as number) / norm;
}

function placesOf(keys: number, size: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: keys }, (_, j) => {
    const bits = mix(j);
    const place = (bits >>> 1) % size;
    return bits & 1 ? ~place : place;
  });
}

/** 32 bits that look random: the mixing steps of MurmurHash3. */
function mix(index: number): number {
  let bits = Math.imul(index + 1, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
