/** The laws of a model's heads, measured on texts. */
import { defaultCachePrecision, type Model } from '@keysieve/llm';
import { exactPageBytes, type LawFile, PAGE_KEYS } from 'keysieve';
import { textHash } from '../eval/text-hash.ts';
import { type NamedText, takeTokens } from '../eval/tokens.ts';
import { makeLaw } from '../law/make-law.ts';
import { lawModelOf } from '../law/open-law.ts';
import { packageVersion } from '../package-file.ts';
import { type Work, type WorkOptions, workOf } from '../work.ts';
import { createDesign, type SampledQuery } from './design.ts';
import { encodingsToMeasure, measureText } from './measure-text.ts';
import { type MeasuredText, openRun, type SavedRun } from './saved-run.ts';

/** What is measured. */
export interface MeasureTextsOptions extends WorkOptions {
  model: Model;
  /** One text or more: the law is that of all of them together. */
  texts: readonly NamedText[];
  /** Tokens of each text that are read. Default: 8,192. */
  tokens?: number;
  /** Tokens of each text to leave out at its beginning. Default: 0. */
  offset?: number;
  /** Context lengths, ascending. Default: half powers of two down from `tokens`, to 512. */
  lengths?: readonly number[] | undefined;
  /** Positions sampled for each length and text. Default: 32. */
  samples?: number;
  /** Another seed samples other positions. Default: 1. */
  seed?: number;
  /** The longest length that laws are fitted to. Default: all. */
  fittedTo?: number | undefined;
  /** File that keeps what was measured, and that an interrupted measurement continues from. Default: none. */
  save?: string | undefined;
  /** Whether `save` stays when the measurement is complete, so that texts can be added later. Default: false. */
  keepSave?: boolean;
}

/** A law, and what measuring it cost. */
export interface MeasuredLaw {
  law: LawFile;
  cost: MeasurementCost;
}

/** Times of a measurement, beside plainly reading the same tokens. */
export interface MeasurementCost {
  prefillMs: number;
  measureMs: number;
  /** (prefillMs + measureMs) / prefillMs */
  ratio: number;
}

/** The policy whose error GQA groups have laws of. */
const POLICY = 'sieve';
const HEADLINE: LawFile['headline'] = { criterion: 'mass', share: 0.05 };

/**
 * Reads the texts and samples the queries of every head on the way, then fits the laws. Throws `invalid-argument` where a
 * text is too short or the lengths do not fit, what `openRun` throws of the file, and what sessions throw.
 */
export async function measureTexts(options: MeasureTextsOptions): Promise<MeasuredLaw> {
  const { model, texts, tokens = 8192, offset = 0, samples = 32, seed = 1, fittedTo, save } = options;
  const work = workOf(options);
  const { config, precision, contextLength: context } = model;
  const encoded = texts.map(({ name, content }) =>
    takeTokens(model.tokenizer.encode(content, { special: false }), { name, offset, count: tokens }),
  );
  const { lengths } = options;
  const { tally: design, queries } = createDesign({ config, tokens, lengths, samples, seed, texts: texts.length });
  const lawModel = await lawModelOf(model, work.signal);
  const cachePrecision = defaultCachePrecision(precision);
  const settings = { tokens, samples, seed, precision, cachePrecision, context, policy: POLICY };
  const hashes = texts.map(({ content }) => textHash(content));
  await using run = await openRun({
    path: save,
    // What threads there are decides how a sample is divided, and so which keys it has.
    run: { hash: lawModel.hash, version: packageVersion(), threads: model.threads, offset, ...settings },
    design,
    textHashes: hashes,
    ...work,
  });
  await sampleTexts(options, run, encoded, queries, work);

  const started = performance.now();
  const law = makeLaw({
    model: lawModel,
    texts: texts.map(({ name }, i) => ({ name, hash: hashes[i] as string, tokens })),
    settings,
    headline: HEADLINE,
    tallies: run.texts.map(({ tally }) => tally),
    fittedTo: fittedTo ?? tokens,
    rowBytes: exactPageBytes(config.headDim, cachePrecision) / PAGE_KEYS,
  });
  const fitMs = performance.now() - started;
  if (!options.keepSave) await run.remove();
  return { law, cost: costOf(run.texts, fitMs) };
}

/** Reads every text from where an earlier run came to. */
async function sampleTexts(
  { model, texts, save }: MeasureTextsOptions,
  run: SavedRun,
  encoded: readonly Int32Array[],
  queries: readonly SampledQuery[][],
  { signal, onProgress, onNote }: Work,
): Promise<void> {
  await using session = await model.createSession({
    attention: { policy: 'dense' },
    encodings: encodingsToMeasure(POLICY),
    denseFallback: false,
    cachePrecision: defaultCachePrecision(model.precision),
  });
  for (const [i, { tally, progress }] of run.texts.entries()) {
    const tokens = encoded[i] as Int32Array;
    if (progress.done >= tokens.length) continue;
    const what = `measuring ${texts[i]?.name}`;
    onProgress(what, progress.done, tokens.length);
    try {
      await measureText({
        session,
        tokens,
        queries: queries[i] ?? [],
        tally,
        policy: POLICY,
        resumeFrom: progress,
        signal,
        async onProgress(reached) {
          Object.assign(progress, reached);
          onProgress(what, reached.done, tokens.length);
          await run.save();
        },
      });
    } catch (error) {
      if (save !== undefined && progress.done > 0) onNote(`${save} keeps what was measured: run it again to continue.`);
      throw error;
    }
  }
}

function costOf(texts: readonly MeasuredText[], fitMs: number): MeasurementCost {
  const sum = (field: 'prefillMs' | 'measureMs') => texts.reduce((total, { progress }) => total + progress[field], 0);
  const [prefillMs, measureMs] = [sum('prefillMs'), sum('measureMs') + fitMs];
  return { prefillMs, measureMs, ratio: (prefillMs + measureMs) / prefillMs };
}
