/** `keysieve measure`: the law of each head of a model on a text, as a file that sets budgets and a page to look at. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { createDesign, lawReport, makeLaw, measureText, openRun, planesToMeasure } from '@keysieve/lab';
import { defaultCachePrecision, llmError, loadModel, type Model, readPromptFile } from '@keysieve/llm';
import { Command } from 'commander';
import { exactPageBytes, type LawFile, PAGE_KEYS } from 'keysieve';
import { describeLaw } from '../describe/law.ts';
import { showLoading } from '../loading.ts';
import {
  addJsonOption,
  addModelOptions,
  collect,
  type ModelFlags,
  parsePositiveInteger,
  parsePositiveIntegers,
  parseWholeNumber,
} from '../options.ts';
import { abortOnInterrupt, createProgress, note } from '../terminal.ts';

interface Options extends ModelFlags {
  text?: string[];
  tokens: number;
  offset: number;
  lengths?: number[];
  samples: number;
  seed: number;
  fitTo?: number;
  law?: string;
  out?: string;
  state?: string;
  json?: boolean;
}

/** The policy whose returned error groups of heads have laws of. */
const POLICY = 'sieve';
const HEADLINE: LawFile['headline'] = { criterion: 'mass', share: 0.05 };

export function measureCommand(): Command {
  const command = new Command('measure').description('the law alpha * n^C of each head of a model, on a text');
  command
    .option('--text <file>', 'the text; may be given again, for a law of all of them', collect)
    .option('--tokens <count>', 'tokens of each text that are read', parsePositiveInteger, 8192)
    .option('--offset <count>', 'tokens of each text to leave out at its beginning', parseWholeNumber, 0)
    .option(
      '--lengths <counts>',
      'lengths of context (default: half powers of two, from 512 up)',
      parsePositiveIntegers,
    )
    .option('--samples <count>', 'positions that are sampled for each length and text', parsePositiveInteger, 32)
    .option('--seed <number>', 'another seed samples other positions', parseWholeNumber, 1)
    .option('--fit-to <count>', 'fit laws to lengths up to this only, to try how they carry', parsePositiveInteger)
    .option('--law <file>', 'write the law into this file')
    .option('--out <file>', 'write a report into this HTML file')
    .option(
      '--state <file>',
      'keep what is found in this file, and go on from what it has (default: beside the law or the report, until it is done)',
    );
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run(options: Options): Promise<void> {
  const { law: lawPath, out, json, context, precision, threads } = options;
  const texts = await readTexts(options);
  const { signal, release } = abortOnInterrupt();
  try {
    await using model = await loadModel(options.model, {
      context,
      precision,
      threads,
      signal,
      ...showLoading(),
    });
    const { law, cost } = await measure(model, texts, options, signal);
    if (lawPath !== undefined) {
      await writeFile(lawPath, `${JSON.stringify(law)}\n`);
      note(`The law is in ${lawPath}.`);
    }
    if (out !== undefined) {
      await writeFile(out, await lawReport(law));
      note(`The report is ${out}.`);
    }
    process.stdout.write(json ? `${JSON.stringify(jsonOf(law, cost))}\n` : `${describeLaw(law)}\n`);
  } finally {
    release();
  }
}

interface TextInput {
  name: string;
  content: string;
  hash: string;
}

async function readTexts({ text: paths = [] }: Options): Promise<TextInput[]> {
  if (paths.length === 0) {
    throw llmError({ code: 'invalid-argument', problem: 'There is no text.', remedy: 'Give --text FILE.' });
  }
  const texts: TextInput[] = [];
  for (const path of paths) {
    const content = await readPromptFile(path);
    texts.push({ name: basename(path), content, hash: createHash('sha256').update(content).digest('hex') });
  }
  return texts;
}

/** What measuring cost, beside plainly reading the same tokens. */
interface Cost {
  prefillMs: number;
  measureMs: number;
  /** (prefillMs + measureMs) / prefillMs */
  ratio: number;
}

async function measure(
  model: Model,
  texts: readonly TextInput[],
  { tokens, offset, lengths, samples, seed, fitTo, law, out, state }: Options,
  signal: AbortSignal,
): Promise<{ law: LawFile; cost: Cost }> {
  const { config, precision, contextLength: context, name } = model;
  const { layers, heads, keyValueHeads, headDim } = config;
  const encoded = texts.map((text) => takeTokens(model, text, offset, tokens));
  const { tally: design, queries } = createDesign({ config, tokens, lengths, samples, seed, texts: texts.length });
  const hash = await model.hash(signal);
  const cachePrecision = defaultCachePrecision(precision);
  await using session = await model.createSession({
    encodings: planesToMeasure(POLICY),
    denseFallback: false,
    cachePrecision,
  });
  const settings = { tokens, samples, seed, precision, cachePrecision, context, policy: POLICY };
  const hashes = texts.map((text) => text.hash);
  const outputPath = law ?? out;
  const path = state ?? (outputPath && `${outputPath}.partial`);
  const saved = await openRun(path, { hash, offset, ...settings }, design, hashes);

  for (const [i, { tally, progress }] of saved.texts.entries()) {
    if (progress.done >= tokens) continue;
    const bar = createProgress(`measuring ${(texts[i] as TextInput).name}`, 'tokens');
    bar.update(progress.done, tokens);
    try {
      await measureText({
        session,
        tokens: encoded[i] as Int32Array,
        queries: queries[i] ?? [],
        tally,
        policy: POLICY,
        resumeFrom: progress,
        signal,
        async onProgress(reached) {
          Object.assign(progress, reached);
          bar.update(reached.done, tokens);
          await saved.save();
        },
      });
    } catch (error) {
      if (path !== undefined && progress.done > 0)
        note(`\n${path} keeps what was found: run it again to go on from there.`);
      throw error;
    } finally {
      bar.stop();
    }
  }

  note('Fitting the laws.');
  const started = performance.now();
  const fitted = makeLaw({
    model: { name, hash, layers, heads, keyValueHeads, headDim },
    texts: texts.map(({ name, hash }) => ({ name, hash, tokens })),
    settings,
    headline: HEADLINE,
    tallies: saved.texts.map(({ tally }) => tally),
    fittedTo: fitTo ?? tokens,
    rowBytes: exactPageBytes(headDim, cachePrecision) / PAGE_KEYS,
  });
  const fitMs = performance.now() - started;
  if (state === undefined) await saved.remove();
  const sum = (field: 'prefillMs' | 'measureMs') =>
    saved.texts.reduce((total, { progress }) => total + progress[field], 0);
  const [prefillMs, measureMs] = [sum('prefillMs'), sum('measureMs') + fitMs];
  return { law: fitted, cost: { prefillMs, measureMs, ratio: (prefillMs + measureMs) / prefillMs } };
}

/** Tokens of a text from `offset` on. Throws `invalid-argument` where it has fewer. */
function takeTokens({ tokenizer }: Model, { name, content }: TextInput, offset: number, tokens: number): Int32Array {
  const allTokens = Int32Array.from(tokenizer.encode(content, { special: false }));
  if (allTokens.length >= offset + tokens) return allTokens.subarray(offset, offset + tokens);
  throw llmError({
    code: 'invalid-argument',
    problem: `${name} is too short.`,
    found: `${allTokens.length} tokens, of which ${offset + tokens} were asked for`,
    remedy: 'Lower --tokens or --offset, or give a longer text.',
  });
}

/** What --json prints: the file has more of each head. */
function jsonOf({ model, texts, settings, lengths, headline, heads, extrapolation, summary }: LawFile, cost: Cost) {
  const briefHeads = heads.map(({ layer, head, kind, alpha, C, r2, interval, keys }) => ({
    layer,
    head,
    kind,
    alpha,
    C,
    r2,
    interval,
    keys,
  }));
  return { model, texts, settings, lengths, headline, heads: briefHeads, extrapolation, summary, cost };
}
