/** Scores as int16 units of 2^-fractionBits ln 2, which saturate. */

export const INT16_MIN = -32_768;
const INT16_MAX = 32_767;

const clampToInt16 = (x: number): number => Math.max(INT16_MIN, Math.min(INT16_MAX, x));

/** Nats of a unit. */
const unit = (fractionBits: number): number => Math.LN2 * 2 ** -fractionBits;

/** A score in nats, rounded to units. */
export const toScanUnits = (score: number, fractionBits: number): number =>
  clampToInt16(Math.round(score / unit(fractionBits)));

/** The nats of `units`. */
export const fromScanUnits = (units: number, fractionBits: number): number => units * unit(fractionBits);

/** exponent * (score - offset) in units, where the score is in units and the offset in nats. */
export const scaleShare = (score: number, offset: number, fractionBits: number, exponent: number): number =>
  Math.round(exponent * clampToInt16(score - toScanUnits(offset, fractionBits)));
