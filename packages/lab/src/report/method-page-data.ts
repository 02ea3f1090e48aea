/** What the page of methods shows, with three digits. */
import { cardOf, type Figure, type HeadFigure, type MethodCard, type Point } from '../methods/method.ts';
import type { MethodStudy } from '../methods/study.ts';
import { roundNumbers } from './rounded.ts';

export interface PageReading {
  captures: string;
  axis: 'bytes' | 'memory' | null;
  points: Point[];
  reference: { name: string; points: Point[] } | null;
  others: Point[];
  shares: { name: string; certified: number; actual: number }[];
  strip: { quantity: string; heads: HeadFigure[] };
  verdict: string;
  findings: string[];
}

export interface PageMethod extends MethodCard {
  holds: boolean;
  figures: Figure[];
  failing: { what: string; holds: boolean; figures: Figure[] };
  readings: PageReading[];
}

export interface MethodPageData {
  seed: number;
  captures: { file: string; heads: number; keys: number; policies: { name: string; points: Point[] }[] }[];
  methods: PageMethod[];
}

export const methodPageData = ({ seed, captures, results }: MethodStudy): MethodPageData => ({
  seed,
  captures: captures.map(({ policies, ...capture }) => ({ ...capture, policies: roundNumbers([...policies]) })),
  methods: results.map(({ method, planted, failing, readings }) => ({
    ...cardOf(method),
    holds: planted.holds,
    figures: roundNumbers(planted.figures),
    failing: { what: method.failing.what, holds: failing.holds, figures: roundNumbers(failing.figures) },
    readings: readings.map(({ captures: file, reading }) => ({
      captures: file,
      axis: reading.axis ?? null,
      points: roundNumbers(reading.points),
      reference: roundNumbers(reading.reference),
      others: roundNumbers(reading.others),
      shares: roundNumbers(reading.shares ?? []),
      strip: roundNumbers(reading.strip),
      verdict: reading.verdict,
      findings: reading.findings,
    })),
  })),
});
