/** What the page on performance is made of. */
import type { BenchReport } from './reports.ts';

/** A question that the page answers with one table, from all reports that know of it. */
export interface Question {
  title: string;
  /** What the figures are, in a sentence or two. */
  about: string;
  names: string[];
  rows: string[][];
  /** Lines below the table. */
  notes?: string[];
}

/** Reports with their numbers in the list of runs at the end of the page. */
export type NumberedReport<Report extends BenchReport = BenchReport> = Report & { run: number };
