/** The laws of a model's heads, measured on texts. */
import { defaultCachePrecision, type Model } from '@keysieve/llm';
import { type LawFile, type LawModel, PAGE_KEYS } from 'keysieve';
import { exactPageBytes } from 'keysieve/engine';
import { labError } from '../errors.ts';
import { type NamedText, takeTokens } from '../eval/tokens.ts';
import { checkLengths, makeLaw } from '../law/make-law.ts';
import { lawModelOf } from '../law/open-law.ts';
import { LawTally, type TallyDesign } from '../law/tally.ts';
import { packageVersion } from '../package-file.ts';
import type { Cell, CellResult, ResultOf } from '../results/cell.ts';
import { type CellComputer, type Run, runAlone } from '../results/run.ts';
import type { RunSettings } from '../results/saved-results.ts';
import { textHash } from '../results/text-hash.ts';
import { timingMachine } from '../results/timing-machine.ts';
import { type Work, type WorkOptions, workOf } from '../work.ts';
import { createDesign, type SampledQuery } from './design.ts';
import type { TextProgress } from './measure-text.ts';
import { encodingsToMeasure, measureText } from './measure-text.ts';
import { decodeTally, type EncodedTally, encodeTally, type MeasuredText, openRun } from './saved-run.ts';

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

/** A measurement as plain data: what its law is made from, beside the tallies. */
export interface LawPlan {
  kind: 'law';
  run: RunSettings;
  model: LawFile['model'];
  texts: LawFile['texts'];
  settings: LawFile['settings'];
  design: TallyDesign;
  fittedTo: number;
  /** Bytes of an exact key with its value, in one key-value head. */
  rowBytes: number;
}

/** The cell of one text. */
export interface LawCell extends Cell {
  /** Index of the text: its seed follows from it. */
  readonly text: number;
}

/** What a text took: of reading it, and of sampling its queries. */
type TallyTimes = Omit<TextProgress, 'done'>;

/**
 * Reads the texts and samples the queries of every head on the way, then fits the laws. Throws `invalid-argument` where a
 * text is too short or the lengths do not fit, what `openRun` throws of the file, and what sessions throw.
 */
export async function measureTexts(options: MeasureTextsOptions): Promise<MeasuredLaw> {
  return runAlone(await prepareLaw(options), { ...options, save: undefined });
}

/** A measurement whose texts are still to be measured. Throws as `measureTexts`. */
export async function prepareLaw(options: MeasureTextsOptions): Promise<Run<LawCell, MeasuredLaw>> {
  const { model, texts, tokens = 8192, offset = 0, samples = 32, seed = 1, fittedTo = tokens, lengths } = options;
  const work = workOf(options);
  const { config, precision, contextLength: context, threads } = model;
  const encoded = texts.map(({ name, content }) =>
    takeTokens(model.tokenizer.encode(content, { special: false }), { name, offset, count: tokens }),
  );
  const lawModel = await lawModelOf(model, work.signal);
  checkHasLaws(lawModel);
  const { tally: design, queries } = createDesign({
    config: lawModel,
    tokens,
    lengths,
    samples,
    seed,
    texts: texts.length,
  });
  checkLengths(design.lengths.filter((length) => length <= fittedTo));
  const cachePrecision = defaultCachePrecision(precision);
  const settings = { tokens, samples, seed, precision, cachePrecision, context, policy: POLICY };
  const plan: LawPlan = {
    kind: 'law',
    // What threads there are decides how a sample is divided, and so which keys it has.
    run: {
      hash: lawModel.hash,
      version: packageVersion(),
      threads,
      offset,
      ...settings,
      lengths: design.lengths.join(),
    },
    model: lawModel,
    texts: texts.map(({ name, content }) => ({ name, hash: textHash(content), tokens })),
    settings,
    design,
    fittedTo,
    rowBytes: exactPageBytes(config.headDim, cachePrecision) / PAGE_KEYS,
  };
  return {
    plan,
    cells: lawCells(plan),
    open: () => openMeasurement({ options, plan, encoded, queries, work }),
    result: (resultOf) => lawResult(plan, resultOf),
  };
}

/** The cells of a measurement: one for each text. */
export const lawCells = ({ run, texts }: LawPlan): LawCell[] =>
  texts.map(({ hash, tokens }, text) => ({ run, key: { tallied: hash, text }, tokens, text }));

/** The law, by the tallies of its texts. */
export async function lawResult(plan: LawPlan, resultOf: ResultOf<LawCell>): Promise<MeasuredLaw> {
  const { model, texts, settings, design, fittedTo, rowBytes } = plan;
  const [tallies, times]: [LawTally[], TallyTimes[]] = [[], []];
  for (const cell of lawCells(plan)) {
    const result = await resultOf<EncodedTally, TallyTimes>(cell);
    const tally = new LawTally(design);
    decodeTally(tally, result.value);
    tallies.push(tally);
    if (result.times !== null) times.push(result.times);
  }
  const started = performance.now();
  const law = makeLaw({ model, texts, settings, headline: HEADLINE, tallies, fittedTo, rowBytes });
  return { law, cost: costOf(times, performance.now() - started) };
}

interface Measurement {
  options: MeasureTextsOptions;
  plan: LawPlan;
  encoded: readonly Int32Array[];
  queries: readonly SampledQuery[][];
  work: Work;
}

/** Opens what measures texts, each from where an earlier run came to. */
async function openMeasurement({
  options: { model, texts, save, keepSave },
  plan,
  encoded,
  queries,
  work,
}: Measurement): Promise<CellComputer<LawCell>> {
  const { lengths: _, ...key } = plan.run as Record<string, string | number>;
  const run = await openRun({
    path: save,
    run: key,
    design: plan.design,
    textHashes: plan.texts.map(({ hash }) => hash),
    ...work,
  });
  const session = await model
    .createSession({
      attention: { policy: 'dense' },
      encodings: encodingsToMeasure(POLICY),
      denseFallback: false,
      cachePrecision: defaultCachePrecision(model.precision),
    })
    .catch(async (error) => {
      await run[Symbol.asyncDispose]();
      throw error;
    });
  return {
    async compute({ text }) {
      const { tally, progress } = run.texts[text] as MeasuredText;
      const what = `measuring ${texts[text]?.name}`;
      const tokens = encoded[text] as Int32Array;
      const measuring = { session, tokens, queries: queries[text] ?? [], tally, policy: POLICY, signal: work.signal };
      try {
        if (progress.done < tokens.length) {
          work.onProgress(what, progress.done, tokens.length);
          await measureText({
            ...measuring,
            resumeFrom: progress,
            async onProgress(reached) {
              Object.assign(progress, reached);
              work.onProgress(what, reached.done, tokens.length);
              await run.save();
            },
          });
        }
      } catch (error) {
        if (save !== undefined && progress.done > 0) {
          work.onNote(`${save} keeps what was measured: run it again to continue.`);
        }
        throw error;
      }
      const { prefillMs, measureMs } = progress;
      const times = { machine: timingMachine(model.threads), prefillMs, measureMs };
      return { value: encodeTally(tally), times } satisfies CellResult<EncodedTally, TallyTimes>;
    },
    async finish() {
      if (!keepSave) await run.remove();
    },
    async [Symbol.asyncDispose]() {
      await session.dispose();
      await run[Symbol.asyncDispose]();
    },
  };
}

function costOf(times: readonly TallyTimes[], fitMs: number): MeasurementCost {
  const sum = (field: keyof TallyTimes) => times.reduce((total, each) => total + each[field], 0);
  const [prefillMs, measureMs] = [sum('prefillMs'), sum('measureMs') + fitMs];
  return { prefillMs, measureMs, ratio: (prefillMs + measureMs) / prefillMs };
}

/** Throws `invalid-argument` for a model whose layers are all read in full. */
function checkHasLaws({ name, layers }: LawModel): void {
  if (layers > 0) return;
  throw labError({
    code: 'invalid-argument',
    problem: 'The model has no layer that policies select keys in, and so no laws.',
    found: `${name}: every layer has a window or a soft cap, and is read in full`,
    remedy: 'Measure a model that has layers with full attention.',
  });
}
