/** `keysieve bench decode` and `keysieve bench prefill`: a model's time against a peer's, on the same file and text. */
import { basename } from 'node:path';
import type { SpeedReport } from '@keysieve/lab';
import {
  benchDecode,
  benchPrefill,
  FIRST_TOKENS,
  formatTable,
  loadPeer,
  machineOf,
  PEERS,
  type Peer,
  type SpeedOptions,
  type SpeedResult,
  speedTable,
  versionsOf,
} from '@keysieve/lab';
import { llmError, loadModel, type Model, readPromptFile } from '@keysieve/llm';
import { Command, Option } from 'commander';
import type { PolicySpec } from 'keysieve';
import { showLoading } from '../loading.ts';
import {
  type AttentionFlags,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  collect,
  type ModelFlags,
  parsePositiveInteger,
  parsePositiveIntegers,
  parseWholeNumber,
} from '../options.ts';
import { abortOnInterrupt, createProgress, formatCount, formatShare, type Progress } from '../terminal.ts';

interface Options extends ModelFlags, AttentionFlags {
  text: string;
  tokens: number[];
  offset: number;
  steps: number;
  rounds: number;
  peer: string[];
  divergence: boolean;
  json?: boolean;
}

type Bench = SpeedReport['bench'];

export const decodeCommand = (): Command =>
  speedCommand('decode', 'time of a token behind a context, against llama.cpp on the same file, text and threads');

export const prefillCommand = (): Command =>
  speedCommand('prefill', 'time of reading a context, against llama.cpp on the same file, text and threads');

function speedCommand(bench: Bench, description: string): Command {
  const command = new Command(bench).description(description);
  command
    .requiredOption('--text <file>', 'the text: its beginning is the context')
    .option(
      '--tokens <counts>',
      'tokens of context; several, as 2048,8192, one after the other',
      parsePositiveIntegers,
      [2048],
    )
    .option('--offset <count>', 'tokens of the text to leave out at its beginning', parseWholeNumber, 0)
    .option(
      '--steps <count>',
      bench === 'decode'
        ? `tokens that are timed, behind ${FIRST_TOKENS} that are timed on their own`
        : 'tokens behind the context that are compared with dense attention',
      parsePositiveInteger,
      bench === 'decode' ? 128 : 32,
    )
    .addOption(
      new Option('--peer <name>', `${Object.keys(PEERS).join(' or ')}; may be given again`)
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--no-divergence', 'leave out the KL to dense attention, which has to read the context, too');
  if (bench === 'prefill')
    command.option('--rounds <count>', 'times that each side reads the context', parsePositiveInteger, 3);
  addAttentionOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(bench, options));
}

async function run(bench: Bench, options: Options): Promise<void> {
  const { tokens: lengths, steps } = options;
  const decodedTokens = (bench === 'decode' ? FIRST_TOKENS : 0) + steps;
  const tokensNeeded = Math.max(...lengths) + decodedTokens + 1;
  const { signal, release } = abortOnInterrupt();
  const peers = new Map<string, Peer>();
  try {
    const { model, text } = await loadForBench(options, tokensNeeded, signal);
    await using _ = model;
    const tokens = takeTokens(model.tokenizer.encode(text, { special: false }), options, tokensNeeded);
    const load = { model: model.path, threads: model.threads, contextSize: tokensNeeded + 1 };
    for (const name of options.peer) peers.set(name, await loadPeer(name, load));
    const attention = attentionSpec(options);
    const runs: SpeedResult[] = [];
    for (const length of lengths) {
      runs.push(await measure(bench, { model, peers, tokens, context: length, attention, options, signal }));
    }
    const report: SpeedReport = {
      bench,
      model: model.name,
      text: basename(options.text),
      threads: model.threads,
      precision: model.precision,
      versions: versionsOf(Object.assign({}, ...[...peers.values()].map((peer) => peer.versions))),
      machine: machineOf(),
      runs,
    };
    process.stdout.write(options.json ? `${JSON.stringify(jsonOf(report))}\n` : `${describeSpeed(report)}\n`);
  } finally {
    for (const peer of peers.values()) await peer.dispose();
    release();
  }
}

/** The model with room for so many tokens, and the text. */
export async function loadForBench(
  { model, text, context, precision, threads }: ModelFlags & { text: string },
  tokensNeeded: number,
  signal: AbortSignal,
): Promise<{ model: Model; text: string }> {
  const content = await readPromptFile(text);
  const loaded = await loadModel(model, {
    context: context ?? tokensNeeded,
    ...(precision === undefined ? {} : { precision }),
    ...(threads === undefined ? {} : { threads }),
    ...showLoading(),
    signal,
  });
  return { model: loaded, text: content };
}

interface Measurement extends Pick<SpeedOptions, 'model' | 'peers' | 'tokens' | 'context' | 'attention' | 'signal'> {
  options: Options;
}

async function measure(bench: Bench, { options, ...rest }: Measurement): Promise<SpeedResult> {
  const bars = new Map<string, Progress>();
  const { steps, rounds, divergence } = options;
  return (bench === 'decode' ? benchDecode : benchPrefill)({
    ...rest,
    steps,
    rounds,
    divergence,
    prefill: prefillSpec(rest.attention),
    onProgress(what, done, total) {
      const bar = bars.get(what) ?? createProgress(`${what} at ${formatCount(rest.context)}`, 'steps');
      bars.set(what, bar);
      bar.update(done, total);
      if (done < total) return;
      bar.stop();
      bars.delete(what);
    },
  });
}

/** Prompts are read as `generate` reads them: without certificates. */
const prefillSpec = ({ certify: _, ...spec }: PolicySpec): PolicySpec => spec;

/** The tokens of the text that are used. Throws `invalid-argument` where there are fewer. */
export function takeTokens(
  allTokens: ArrayLike<number>,
  { text, offset }: { text: string; offset: number },
  count: number,
): Int32Array {
  if (offset + count <= allTokens.length) return Int32Array.from(allTokens).subarray(offset, offset + count);
  throw llmError({
    code: 'invalid-argument',
    problem: `${text} is too short.`,
    found: `${allTokens.length} tokens, of which ${offset + count} are needed`,
    remedy: 'Lower --tokens or --offset, or give a longer text.',
  });
}

/** One context as DESIGN has it: ours, the first peer, the ratio and the divergence at the top. */
function jsonOf(report: SpeedReport): object {
  const [first] = report.runs;
  if (report.runs.length !== 1 || first === undefined) return report;
  const [peer] = first.peers;
  return { ...report, ours: first.ours, peer: peer ?? null, ratio: peer?.ratio ?? null, kl: first.kl };
}

export function describeSpeed(report: SpeedReport): string {
  const { model, threads, precision, versions, machine } = report;
  const { names, rows } = speedTable(report, {
    separator: '@',
    timeShares: { name: 'attention', of: ({ attention }) => formatShare(attention) },
  });
  const about = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${model}, ${threads} threads, ${precision}; ${machine.processor}, ${machine.cores} cores, load ${machine.load}`,
    about.join(', '),
    formatTable(names, rows),
  ].join('\n');
}
