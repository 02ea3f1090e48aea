/** A study of two invented methods: one compared by bytes, one that bounds shares. */
import { atMost, type Method, outcomeOf, type Reading } from '../src/methods/method.ts';
import type { MethodStudy } from '../src/methods/study.ts';

const methodOf = (name: string): Method => ({
  name,
  paper: '0000.00000',
  title: `The ${name} paper`,
  authors: 'Nobody',
  statement: 'It is claimed.',
  criterion: 'It is at most 1.',
  place: { kind: 'none', what: 'none: it is invented.' },
  planted: () => outcomeOf([atMost('error', 0.12345, 1)]),
  failing: { what: 'another input', planted: () => outcomeOf([atMost('error', 2, 1)]) },
});

const STRIP = { quantity: 'error', heads: [0.1, 0.2, 0.7].map((value, i) => ({ head: `head ${i}`, value })) };

const BYTES: Reading = {
  axis: 'bytes',
  points: [
    { name: 'a scan', cost: 12.34, error: 0.045678 },
    { name: 'a scan', cost: 20, error: 0.02 },
  ],
  reference: { name: 'a line', points: [{ name: 'a line', cost: 15, error: 0.1 }] },
  others: [{ name: 'nothing', cost: 11, error: 0.5 }],
  strip: STRIP,
  verdict: 'It is better.',
  findings: ['It was found.'],
  tables: [],
};

const SHARES: Reading = {
  points: [],
  reference: null,
  others: [],
  shares: [
    { name: 'above', certified: 0.9, actual: 0.3 },
    { name: 'below', certified: 0.2, actual: 0.3 },
  ],
  strip: STRIP,
  verdict: 'It certifies little.',
  findings: [],
  tables: [],
};

export function methodFixture(): MethodStudy {
  const [first, second] = [methodOf('first'), methodOf('second')];
  const sieve = { name: 'the sieve', points: [{ name: 'the sieve', cost: 14, error: 0.2 }] };
  return {
    seed: 1,
    captures: [{ file: 'heads.safetensors', heads: 3, keys: 8192, policies: [sieve] }],
    results: [
      {
        method: first,
        planted: first.planted(1),
        failing: first.failing.planted(1),
        readings: [{ captures: 'heads.safetensors', reading: BYTES }],
      },
      {
        method: second,
        planted: { ...second.planted(1), holds: false },
        failing: second.failing.planted(1),
        readings: [{ captures: 'heads.safetensors', reading: SHARES }],
      },
    ],
  };
}
