import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStopFilter } from './stop-strings.ts';

describe('stop strings', () => {
  it('gives out the text before the first stop string, however the text is cut into pieces', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c') });
    fc.assert(
      fc.property(fc.array(letters), fc.array(letters, { maxLength: 3 }), (pieces, stops) => {
        const filter = createStopFilter(stops);
        let text = '';
        let stopped = false;
        for (const piece of pieces) {
          const step = filter.append(piece);
          text += step.text;
          stopped = step.stopped;
          if (stopped) break;
        }
        if (!stopped) text += filter.flush();
        const whole = pieces.join('');
        const ends = stops.filter((stop) => stop !== '' && whole.includes(stop)).map((stop) => whole.indexOf(stop));
        expect(stopped).toBe(ends.length > 0);
        // A stop string that ends first may begin after another that is still open; never is one given out whole.
        if (ends.length === 0) expect(text).toBe(whole);
        else {
          expect(whole.startsWith(text)).toBe(true);
          for (const stop of stops) if (stop !== '') expect(text).not.toContain(stop);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('holds back only what may still become a stop string', () => {
    const filter = createStopFilter(['###']);
    expect(filter.append('a#')).toEqual({ text: 'a', stopped: false });
    expect(filter.append('b##')).toEqual({ text: '#b', stopped: false });
    expect(filter.append('# rest')).toEqual({ text: '', stopped: true, stop: '###' });
  });

  it('finds names of control tokens, which are no part of the text', () => {
    const filter = createStopFilter(['<|user|>', '<|end|>\nQ']);
    expect(filter.append('ab')).toEqual({ text: 'ab', stopped: false });
    expect(filter.append('<|end|>', { hidden: true })).toEqual({ text: '', stopped: false });
    expect(filter.append('c')).toEqual({ text: 'c', stopped: false });
    expect(filter.append('<|end|>', { hidden: true })).toEqual({ text: '', stopped: false });
    expect(filter.append('\n')).toEqual({ text: '', stopped: false });
    expect(filter.append('x')).toEqual({ text: '\nx', stopped: false });
    expect(filter.append('d')).toEqual({ text: 'd', stopped: false });
    expect(filter.append('<|user|>', { hidden: true })).toEqual({ text: '', stopped: true, stop: '<|user|>' });
  });
});
