import { describe, expect, it } from 'vitest';
import type { PolicyResult } from '../bench/attention.ts';
import type { TaskAnswer } from '../tasks/answer-task.ts';
import { type CurvesFigure, plotCurves } from './curves.ts';
import { plotErrorAgainstBytes } from './error-against-bytes.ts';
import { plotRecall } from './recall-heat-map.ts';

/** What is written in a picture, in order. */
const textsOf = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map(([, text = '']) => text);
const count = (svg: string, pattern: RegExp): number => [...svg.matchAll(pattern)].length;
/** A whole picture, without numbers that could not be placed. */
const expectPicture = (svg: string) => {
  expect(svg).toMatch(/^<svg[\s\S]*<\/svg>\n$/);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
};

describe('plotCurves', () => {
  const points = [
    { x: 1024, y: 0.1, error: 0.01 },
    { x: 4096, y: 0.05, error: 0.01 },
  ];
  const figure: CurvesFigure = {
    name: 'example',
    title: 'An example',
    x: 'keys, n',
    y: 'error',
    curves: [
      { panel: 'first', name: 'measured', points },
      { panel: 'first', name: 'expected', style: 'theory', points: points.map(({ x, y }) => ({ x, y: y * 2 })) },
      { panel: 'second', name: 'measured', points },
      { panel: 'second', name: 'one of many', style: 'thin', points },
    ],
  };

  it('has a panel for each name, and the names of its curves, but for those of many', () => {
    const svg = plotCurves(figure);
    expectPicture(svg);
    const texts = textsOf(svg);
    expect(texts).toContain('first');
    expect(texts).toContain('second');
    expect(texts.filter((text) => text === 'measured')).toHaveLength(2);
    expect(texts).toContain('expected');
    expect(texts).not.toContain('one of many');
    expect(texts).toContain('keys, n →');
    expect(texts).toContain('↑ error');
    expect(texts).toContain('4K');
  });

  it('draws theory in dashes, and a bar for each standard error', () => {
    const svg = plotCurves(figure);
    expect(svg).toContain('stroke-dasharray="5,4"');
    expect(count(plotCurves({ ...figure, curves: figure.curves.slice(0, 1) }), /<circle /g)).toBe(2);
  });

  it('is drawn on a linear scale, with values of 0, where that is asked for', () => {
    const flat = { panel: 'only', name: 'flat', points: points.map(({ x }) => ({ x, y: 0 })) };
    expectPicture(plotCurves({ ...figure, yLinear: true, rule: 0.5, curves: [flat, ...figure.curves] }));
  });
});

describe('plotRecall', () => {
  const answer = (policy: string, length: number, depth: number | null, score: number): TaskAnswer =>
    ({ policy, budget: policy === 'dense' ? null : 'fixed:64', length, depth, score }) as TaskAnswer;

  it('has a cell for each policy, length and depth, with its mean score', () => {
    const svg = plotRecall([
      answer('dense', 1024, 0, 1),
      answer('dense', 1024, 1, 1),
      answer('sieve', 1024, 0, 1),
      answer('sieve', 1024, 0, 0),
      answer('sieve', 1024, 1, 0.25),
      answer('sieve', 1024, null, 1),
    ]);
    expectPicture(svg);
    const shares = textsOf(svg).filter((text) => /^\d+ %$/.test(text));
    expect(shares.sort()).toEqual(['100 %', '100 %', '25 %', '50 %']);
    expect(textsOf(svg)).toContain('sieve fixed:64');
    expect(textsOf(svg)).toContain('1,024');
  });
});

describe('plotErrorAgainstBytes', () => {
  const result = (policy: string, budget: string | null, bytesPerKey: number, mean: number): PolicyResult =>
    ({ policy, budget, summary: { bytesPerKey, outputError: { mean, p95: mean } } }) as PolicyResult;

  it('has a line for each policy but full attention, and a point for each cache', () => {
    const svg = plotErrorAgainstBytes(
      [
        result('dense', null, 256, 1e-9),
        result('sieve', 'fixed:64', 12, 0.02),
        result('sieve', 'fixed:256', 20, 0.01),
        result('window', 'fixed:64', 3, 0.5),
      ],
      [{ name: 'dense, 4 bits', bytesPerKey: 68, outputError: 0.05 }],
      '3 heads',
    );
    expectPicture(svg);
    const texts = textsOf(svg);
    expect(texts).toEqual(expect.arrayContaining(['sieve', 'window', '64', '256', 'dense, 4 bits']));
    expect(texts).not.toContain('dense');
    expect(texts.some((text) => text.endsWith('mean over 3 heads'))).toBe(true);
  });
});
