/** The gallery as a whole: readings of small heads, the document, the page, and what is refused. */
import { describe, expect, it } from 'vitest';
import { captureFixture } from '../../test/capture-fixture.ts';
import { methodDocument } from './document.ts';
import { METHODS } from './index.ts';
import { compared, errorAt, type Line, type Point, type Study, short } from './method.ts';
import { methodStudyJson, runMethodStudy } from './study.ts';

const policies: Line[] = [{ name: 'the sieve', points: [{ name: 'the sieve', cost: 14, error: 0.2 }] }];
const study: Study = { heads: captureFixture(), seed: 1, policies };
const options = { captures: [], methods: [], seed: 1, signal: new AbortController().signal, onProgress: () => {} };

describe('readings', () => {
  const readers = METHODS.flatMap(({ name, reading }) => (reading === undefined ? [] : [{ name, reading }]));

  it.each(readers)('of $name are finite, and have a dot for every query head', ({ reading }) => {
    const { points, others, reference, strip, verdict, findings, tables, shares, axis } = reading(study);
    const figures = [
      ...[...points, ...others, ...(reference?.points ?? [])].flatMap(({ cost, error }) => [cost, error]),
      ...strip.heads.map(({ value }) => value),
      ...(shares ?? []).flatMap(({ certified, actual }) => [certified, actual]),
    ];
    expect(figures.filter((x) => !Number.isFinite(x))).toEqual([]);
    expect(strip.heads).toHaveLength(4);
    expect(points.length > 0).toBe(axis !== undefined);
    for (const text of [verdict, ...findings]) expect(text).not.toMatch(/NaN|Infinity|undefined/);
    for (const { columns, rows } of tables) for (const row of rows) expect(row).toHaveLength(columns.length);
  });

  it('repeat themselves', () => {
    const [first, second] = [study, { ...study, heads: captureFixture() }].map((each) =>
      METHODS.find(({ name }) => name === 'one-pass')?.reading?.(each),
    );
    expect(first).toEqual(second);
  });
});

describe('verdicts', () => {
  const point = (cost: number, error: number): Point => ({ name: 'a', cost, error });
  const line: Line = { name: 'the line', points: [point(10, 0.4), point(40, 0.1)] };

  it('are read off a line, straight in logarithms', () => {
    expect(errorAt(line.points, 20)).toBeCloseTo(0.2, 12);
    expect(errorAt(line.points, 5)).toBe(0.4);
    expect(errorAt(line.points, 99)).toBe(0.1);
    expect(compared(point(20, 0.1), 'bytes', line)).toBe(
      'a, at 20.0 bytes a key: error 0.1, 50 % of that of the line (0.2)',
    );
    expect(compared(point(20, 0.5), 'memory', line)).toBe(
      "a, at 20 keys' worth: error 0.5, 2.50 times that of the line (0.2)",
    );
  });

  it('have three digits', () => {
    expect([0, 0.12345, 1234.5, 1.2e-5, -2.5e-7].map(short)).toEqual(['0', '0.123', '1230', '1.2e-5', '-2.5e-7']);
  });
});

describe('the study of methods', () => {
  it('tries what it is asked for, and says so in a document and in JSON', async () => {
    const steps: number[] = [];
    const result = await runMethodStudy({
      ...options,
      methods: ['kronecker', 'surprise'],
      onProgress: (_, done, total) => steps.push(done / total),
    });
    expect(steps).toEqual([0, 0.5, 1]);
    expect(result.results.map(({ method, planted, failing }) => [method.name, planted.holds, failing.holds])).toEqual([
      ['kronecker', true, false],
      ['surprise', true, false],
    ]);
    const document = methodDocument(result);
    for (const text of ['## kronecker', '## surprise', 'arXiv 2310.04064', 'it fails, as it must', 'none were given']) {
      expect(document).toContain(text);
    }
    expect(JSON.parse(JSON.stringify(methodStudyJson(result)))).toMatchObject({
      seed: 1,
      captures: [],
      methods: [
        { name: 'kronecker', planted: { holds: true } },
        { name: 'surprise', failing: { holds: false } },
      ],
    });
  });

  it('refuses names, seeds and files that it does not know before it works', async () => {
    await expect(runMethodStudy({ ...options, methods: ['nope'] })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(runMethodStudy({ ...options, seed: -1 })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(runMethodStudy({ ...options, captures: [{ name: 'none', path: '/nowhere' }] })).rejects.toMatchObject({
      code: 'file-not-found',
    });
  });

  it('stops where it is aborted', async () => {
    const aborted = runMethodStudy({ ...options, signal: AbortSignal.abort(), methods: ['surprise'] });
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
  });
});
