/** The whole study: rows of attention from all sources, every claim tried on them, and the document about it. */
import { readCapture } from '../captures/capture.ts';
import { captureSources } from './capture-source.ts';
import type { Claim, Outcome, Verdict } from './claim.ts';
import { gaussianSources } from './gaussian-source.ts';
import { CLAIMS } from './index.ts';
import type { Study } from './source.ts';

export interface StudyOptions {
  seed: number;
  /** Files of captured heads. */
  captures: readonly string[];
  /** Takes every so many-th captured query. */
  stride: number;
  signal: AbortSignal;
  onProgress(what: string, done: number, total: number): void;
}

/** What was run, so that another can run it again. */
export interface Setting {
  seed: number;
  gaussian: { lengths: number[]; spreads: number[]; contexts: number; queries: number };
  captures: { files: readonly string[]; stride: number; heads: number };
}

export interface Judged {
  claim: Claim;
  outcome: Outcome;
}

export const GAUSSIAN = {
  lengths: [256, 1024, 4096, 16_384, 65_536],
  spreads: [1, 2, 3],
  contexts: 16,
  queries: 4,
};
/** Keys of the shortest contexts that are made of captures. */
const MIN_CONTEXT_KEYS = 250;

export async function runStudy(options: StudyOptions): Promise<{ setting: Setting; judged: Judged[] }> {
  const { seed, captures: files, stride, signal, onProgress } = options;
  // Before the long part, so that a wrong path is known at once.
  const heads = (await Promise.all(files.map(readCapture))).flat();
  const gaussian = await gaussianSources({
    seed,
    ...GAUSSIAN,
    signal,
    onProgress: (done, total) => onProgress('Gaussian rows', done, total),
  });
  const captures = await captureSources({
    heads,
    minLength: MIN_CONTEXT_KEYS,
    stride,
    signal,
    onProgress: (done, total) => onProgress('captured heads', done, total),
  });
  const study: Study = { gaussian, captures };
  const judged = CLAIMS.map((claim) => ({ claim, outcome: claim.judge(study) }));
  return { setting: { seed, gaussian: GAUSSIAN, captures: { files, stride, heads: captures.length } }, judged };
}

/** One JSON object: what was run, and each claim with its results. */
export const jsonOf = (setting: Setting, judged: readonly Judged[]): object => ({
  setting,
  claims: judged.map(({ claim: { name, title, statement, criterion }, outcome: { holds, findings, results } }) => ({
    name,
    title,
    statement,
    criterion,
    holds,
    findings,
    results,
  })),
});

export const VERDICT_TEXT: Readonly<Record<Verdict, string>> = {
  yes: 'holds',
  no: 'does not hold',
  'in part': 'holds in part',
};
