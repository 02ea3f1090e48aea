import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROW_RESULT_NUMBERS, type RowResult, readRowResult, writeRowResult } from './row-result.ts';

const RESULT: RowResult = {
  keysExact: 300,
  keysQuantized: 900,
  bytesRead: 40_000,
  tailMass: 0.25,
  outputError: 0.5,
  kind: 'estimated',
  outcome: 'certificateFallback',
};

/** What comes out where `result` went in, as row 2 of a job. */
function travelled(result: RowResult): RowResult {
  const results = new Float32Array(3 * ROW_RESULT_NUMBERS);
  writeRowResult(results, 2, result);
  return readRowResult(results, 2);
}

describe('the result of a row', () => {
  it('travels as it is, where float32 has it', () => {
    expect(travelled(RESULT)).toEqual(RESULT);
    expect(travelled({ ...RESULT, outputError: Number.POSITIVE_INFINITY }).outputError).toBe(Number.POSITIVE_INFINITY);
  });

  it('has bounds that only grow on the way, by less than a float, and shares that stay shares', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const nearOne = fc.double({ min: 1 - 2 ** -23, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.oneof(share, nearOne), (tailMass) => {
        const found = travelled({ ...RESULT, tailMass, outputError: tailMass });
        expect(found.outputError).toBe(found.tailMass);
        expect(found.tailMass).toBeGreaterThanOrEqual(tailMass);
        expect(found.tailMass).toBeLessThanOrEqual(1);
        expect(found.tailMass - tailMass).toBeLessThanOrEqual(tailMass * 2 ** -23 + 2 ** -149);
      }),
    );
  });
});
