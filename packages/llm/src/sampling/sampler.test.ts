import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gaussianLogits, logitsOf, softmax, sorted } from '../../test/logits.ts';
import type { SamplingOptions } from './options.ts';
import { applyRepetitionPenalty, argmax, createSampler } from './sampler.ts';

describe('penalise', () => {
  it('divides positive and multiplies negative logits, once for each token of the window', () => {
    const logits = Float32Array.of(4, -4, 0, 2, 1);
    applyRepetitionPenalty(logits, [3, 0, 1, 1, 2], 2, 4);
    expect(logits).toEqual(Float32Array.of(2, -8, 0, 2, 1));
  });

  it('looks at the whole history where the window is without end, and at none where it is 0', () => {
    const logits = Float32Array.of(4, 4);
    applyRepetitionPenalty(logits, [0, 1], 2, 0);
    expect(logits).toEqual(Float32Array.of(4, 4));
    applyRepetitionPenalty(logits, [0, 1], 2, Number.POSITIVE_INFINITY);
    expect(logits).toEqual(Float32Array.of(2, 2));
  });
});

describe('createSampler', () => {
  it('takes the best token at temperature 0, the first of equal ones', () => {
    fc.assert(
      fc.property(logitsOf(50), (logits) => {
        expect(createSampler().next(logits, [])).toBe(logits.indexOf(Math.max(...logits)));
      }),
    );
  });

  it('takes the best token with top-k 1 at any temperature', () => {
    fc.assert(
      fc.property(logitsOf(50), fc.double({ min: 0.01, max: 100, noNaN: true }), (logits, temperature) => {
        expect(createSampler({ topK: 1, temperature }).next(logits, [])).toBe(argmax(logits));
      }),
    );
  });

  it('never draws a token with a logit of -Infinity', () => {
    fc.assert(
      fc.property(logitsOf(20), fc.integer({ min: 0, max: 1000 }), (logits, seed) => {
        const sampler = createSampler({ temperature: 50, topK: 0, topP: 1, seed });
        for (let i = 0; i < 20; i++) expect(logits[sampler.next(logits, [])]).toBeGreaterThan(Number.NEGATIVE_INFINITY);
      }),
    );
  });

  it('draws alike with one seed, whatever was drawn elsewhere, and otherwise with another', () => {
    const logits = gaussianLogits(1000, 1, 1);
    const drawn = (seed: number) => {
      const sampler = createSampler({ temperature: 1, topK: 0, topP: 1, seed });
      return Array.from({ length: 50 }, () => sampler.next(logits, []));
    };
    expect(drawn(7)).toEqual(drawn(7));
    const firsts = Array.from({ length: 40 }, (_, seed) => drawn(seed));
    expect(new Set(firsts.map(String)).size).toBe(40);
    // Neighbouring seeds must not begin alike either.
    expect(new Set(firsts.map(([first]) => first)).size).toBeGreaterThan(25);
  });

  it('says which seed it chose, and can be repeated with it', () => {
    const logits = gaussianLogits(100, 1, 2);
    const one = createSampler({ temperature: 1 });
    const other = createSampler({ temperature: 1, seed: one.seed });
    for (let i = 0; i < 20; i++) expect(other.next(logits, [])).toBe(one.next(logits, []));
    expect(createSampler().seed).not.toBe(createSampler().seed);
  });

  it('leaves the logits as they are', () => {
    const logits = Float32Array.of(1, -2, 3);
    createSampler({ temperature: 1, repetitionPenalty: 1.5 }).next(logits, [0, 1, 2]);
    expect(logits).toEqual(Float32Array.of(1, -2, 3));
  });

  it('penalises before it takes the best token', () => {
    const logits = Float32Array.of(3, 2, 1);
    expect(createSampler({ repetitionPenalty: 2 }).next(logits, [0])).toBe(1);
    expect(createSampler({ repetitionPenalty: 2, repetitionWindow: 1 }).next(logits, [0, 2])).toBe(0);
  });

  it('takes a vocabulary of another size the next time', () => {
    const sampler = createSampler();
    expect(sampler.next(Float32Array.of(1, 2), [])).toBe(1);
    expect(sampler.next(Float32Array.of(1, 2, 3), [])).toBe(2);
  });
});

describe('the draws', () => {
  /**
   * Pearson's statistic over cells of at least 5 expected draws. With 200 cells at most, a correct sampler passes
   * the bound (mean + 5 standard deviations of chi-square) for nearly every seed; the seeds here are fixed.
   */
  function expectDistribution(options: SamplingOptions, logits: Float32Array, expected: Map<number, number>) {
    const draws = 40_000;
    const sampler = createSampler({ ...options, seed: 12_345 });
    const counts = new Map<number, number>();
    for (let i = 0; i < draws; i++) {
      const id = sampler.next(logits, []);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const id of counts.keys()) expect(expected.has(id)).toBe(true);
    let statistic = 0;
    let cells = 0;
    let restExpected = 0;
    let restCount = 0;
    for (const [id, probability] of expected) {
      if (probability * draws < 5) {
        restExpected += probability * draws;
        restCount += counts.get(id) ?? 0;
        continue;
      }
      cells++;
      statistic += ((counts.get(id) ?? 0) - probability * draws) ** 2 / (probability * draws);
    }
    if (restExpected >= 5) {
      cells++;
      statistic += (restCount - restExpected) ** 2 / restExpected;
    }
    const freedom = cells - 1;
    expect(freedom).toBeGreaterThan(5);
    expect(statistic).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom));
  }

  /** Float64 reference: keep in the stated order, then divide by the temperature. */
  function reference(
    logits: Float32Array,
    { temperature, topK, topP, minP }: Record<'temperature' | 'topK' | 'topP' | 'minP', number>,
  ) {
    let ids = sorted(logits);
    if (topK > 0) ids = ids.slice(0, topK);
    const probabilities = softmax(ids.map((id) => logits[id] as number));
    let sum = 0;
    let kept = 0;
    while (
      kept < ids.length &&
      (kept === 0 || sum < topP) &&
      (probabilities[kept] as number) >= minP * (probabilities[0] as number)
    ) {
      sum += probabilities[kept++] as number;
    }
    const final = softmax(
      ids.slice(0, kept).map((id) => logits[id] as number),
      temperature,
    );
    return new Map(final.map((p, i) => [ids[i] as number, p]));
  }

  it.each([
    { temperature: 1, topK: 0, topP: 1, minP: 0 },
    { temperature: 0.7, topK: 0, topP: 1, minP: 0 },
    { temperature: 2, topK: 0, topP: 1, minP: 0 },
    { temperature: 1, topK: 20, topP: 1, minP: 0 },
    { temperature: 1, topK: 0, topP: 0.8, minP: 0 },
    { temperature: 1.5, topK: 0, topP: 1, minP: 0.1 },
    { temperature: 0.9, topK: 50, topP: 0.9, minP: 0.02 },
  ])('have the probabilities of a float64 reference: %o', (options) => {
    const logits = gaussianLogits(200, 1, 3);
    expectDistribution(options, logits, reference(logits, options));
  });
});

describe('bad input', () => {
  const fault = (code: string, found: unknown = expect.anything()) => expect.objectContaining({ code, found });

  it.each<[string, SamplingOptions]>([
    ['temperature', { temperature: -1 }],
    ['temperature', { temperature: Number.NaN }],
    ['temperature', { temperature: Number.POSITIVE_INFINITY }],
    ['temperature', { temperature: '1' as never }],
    ['topK', { topK: -1 }],
    ['topK', { topK: 1.5 }],
    ['topP', { topP: 0 }],
    ['topP', { topP: 1.01 }],
    ['topP', { topP: Number.NaN }],
    ['minP', { minP: -0.1 }],
    ['minP', { minP: 2 }],
    ['repetitionPenalty', { repetitionPenalty: 0 }],
    ['repetitionPenalty', { repetitionPenalty: Number.POSITIVE_INFINITY }],
    ['repetitionWindow', { repetitionWindow: -1 }],
    ['repetitionWindow', { repetitionWindow: 0.5 }],
    ['seed', { seed: -1 }],
    ['seed', { seed: 2 ** 32 }],
    ['seed', { seed: 0.5 }],
  ])('refuses a %s out of range: %o', (name, options) => {
    const message = expect.stringContaining(name);
    expect(() => createSampler(options)).toThrow(expect.objectContaining({ code: 'invalid-argument', message }));
  });

  it.each([0, 1])('refuses logits that are not numbers, at temperature %i', (temperature) => {
    const next = (logits: number[]) => () => createSampler({ temperature }).next(Float32Array.from(logits), []);
    expect(next([1, Number.NaN, 3])).toThrow(fault('not-a-number', 'NaN for token 1'));
    expect(next([Number.NaN])).toThrow(fault('not-a-number'));
    expect(next([1, 2, Number.POSITIVE_INFINITY])).toThrow(fault('not-a-number', 'Infinity for token 2'));
    expect(next([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY])).toThrow(fault('not-a-number'));
    expect(next([])).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it.each([0, 1])(
    'says that a constraint allows nothing, rather than that logits are wrong, at temperature %i',
    (temperature) => {
      const nothing = { mask: (logits: Float32Array) => void logits.fill(Number.NEGATIVE_INFINITY), accept() {} };
      const sampler = createSampler({ temperature });
      expect(() => sampler.next(Float32Array.of(1, 2), [], nothing)).toThrow(
        expect.objectContaining({ code: 'grammar-invalid' }),
      );
      const lost = Float32Array.of(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY);
      expect(() => sampler.next(lost, [], nothing)).toThrow(fault('not-a-number'));
    },
  );

  it('refuses a history with a token that has no logit', () => {
    const sampler = createSampler({ repetitionPenalty: 2 });
    expect(() => sampler.next(Float32Array.of(1, 2), [0, 2])).toThrow(fault('invalid-argument', 2));
  });

  it('draws on after an error as if it had not been', () => {
    const logits = gaussianLogits(100, 1, 4);
    const one = createSampler({ temperature: 1, seed: 1 });
    const other = createSampler({ temperature: 1, seed: 1 });
    one.next(logits, []);
    other.next(logits, []);
    expect(() => one.next(Float32Array.of(Number.NaN), [])).toThrow(fault('not-a-number'));
    for (let i = 0; i < 20; i++) expect(one.next(logits, [])).toBe(other.next(logits, []));
  });
});
