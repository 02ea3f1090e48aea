/** The study of the claims: rows of attention from all sources, and every claim judged on them. */
import { readCapture } from '../captures/read-capture.ts';
import { type WorkOptions, workOf } from '../work.ts';
import { captureSources } from './capture-source.ts';
import type { Claim, Outcome, Verdict } from './claim.ts';
import { gaussianSources } from './gaussian-source.ts';
import { CLAIMS } from './index.ts';
import type { Study } from './source.ts';

/** What the claims are tried on, beside Gaussian inputs. */
export interface StudyOptions extends WorkOptions {
  /** Another seed draws other Gaussian inputs. Default: 1. */
  seed?: number;
  /** Paths of files of captured heads. Default: none. */
  captures?: readonly string[];
  /** Takes every Nth captured query. Default: 4. */
  stride?: number;
}

/** What was run, so that it can be run again. */
export interface StudySetting {
  seed: number;
  gaussian: { lengths: number[]; spreads: number[]; contexts: number; queries: number };
  captures: { files: readonly string[]; stride: number; heads: number };
}

/** A claim and what was found. */
export interface JudgedClaim {
  claim: Claim;
  outcome: Outcome;
}

/** The Gaussian inputs of the study. */
export const GAUSSIAN = {
  lengths: [256, 1024, 4096, 16_384, 65_536],
  spreads: [1, 2, 3],
  contexts: 16,
  queries: 4,
};
/** The fewest keys of a context that is cut from a capture. */
const MIN_CONTEXT_KEYS = 250;

/** A study: what was run, and every claim judged. */
export interface ClaimsStudy {
  setting: StudySetting;
  judged: JudgedClaim[];
}

/** Judges every claim. Throws `file-not-found` or `invalid-file` for captures that cannot be read. */
export async function studyClaims(options: StudyOptions = {}): Promise<ClaimsStudy> {
  const { seed = 1, captures: files = [], stride = 4 } = options;
  const { signal, onProgress } = workOf(options);
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

/** The study as one JSON object: what was run, and each claim with its results. */
export const claimsJson = ({ setting, judged }: ClaimsStudy): object => ({
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

/** Verdicts in words. */
export const VERDICT_TEXT: Readonly<Record<Verdict, string>> = {
  yes: 'holds',
  no: 'does not hold',
  'in part': 'holds in part',
};
