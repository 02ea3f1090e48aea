/** `keysieve bench decode` and `keysieve bench prefill`: a model's time against a peer's, on the same file and text. */
import { basename } from 'node:path';
import type { SpeedReport } from '@keysieve/lab';
import {
  benchDecode,
  benchPrefill,
  createDensePeer,
  DENSE_PEER,
  FIRST_TOKENS,
  formatCount,
  formatShare,
  loadPeer,
  machineOf,
  type NamedText,
  PEERS,
  type Peer,
  type SpeedResult,
  speedTable,
  takeTokens,
  versionsOf,
  type Work,
} from '@keysieve/lab';
import { loadModel, type Model, readPromptFile } from '@keysieve/llm';
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
import { printResult, table } from '../tables.ts';
import { withProgress } from '../terminal.ts';

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
  speedCommand('decode', 'time of a token after a context, against llama.cpp on the same file, text and threads');

export const prefillCommand = (): Command =>
  speedCommand('prefill', 'time of reading a context, against llama.cpp on the same file, text and threads');

function speedCommand(bench: Bench, description: string): Command {
  const command = new Command(bench).description(description);
  command
    .requiredOption('--text <file>', 'the text: its beginning is the context')
    .option(
      '--tokens <counts>',
      'tokens of context; several, such as 2048,8192, one after the other',
      parsePositiveIntegers,
      [2048],
    )
    .option('--offset <count>', 'tokens to skip at the beginning of the text', parseWholeNumber, 0)
    .option(
      '--steps <count>',
      bench === 'decode'
        ? `tokens to time, after ${FIRST_TOKENS} that are timed separately`
        : 'tokens after the context to compare with full attention',
      parsePositiveInteger,
      bench === 'decode' ? 128 : 32,
    )
    .addOption(
      new Option('--peer <name>', `${[DENSE_PEER, ...Object.keys(PEERS)].join(' or ')}; may be given again`)
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--no-divergence', 'leave out the KL from full attention, which has to read the context as well');
  if (bench === 'prefill')
    command.option('--rounds <count>', 'times that each side reads the context', parsePositiveInteger, 3);
  addAttentionOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(bench, options));
}

async function run(bench: Bench, options: Options): Promise<void> {
  const { tokens: lengths, steps, offset, rounds, divergence } = options;
  const decodedTokens = (bench === 'decode' ? FIRST_TOKENS : 0) + steps;
  const tokensNeeded = Math.max(...lengths) + decodedTokens + 1;
  const peers = new Map<string, Peer>();
  try {
    await withProgress(async (work) => {
      const { model, text } = await loadForBench(options, tokensNeeded, work.signal);
      await using _ = model;
      const tokens = takeTokens(model.tokenizer.encode(text.content, { special: false }), {
        name: text.name,
        offset,
        count: tokensNeeded,
      });
      const load = { model: model.path, threads: model.threads, contextSize: tokensNeeded + 1 };
      for (const name of options.peer) {
        peers.set(name, await (name === DENSE_PEER ? createDensePeer(model) : loadPeer(name, load)));
      }
      const attention = attentionSpec(options);
      const run = { model, peers, tokens, attention, prefill: prefillSpec(attention), steps, rounds, divergence };
      const runs: SpeedResult[] = [];
      for (const context of lengths) {
        const onProgress: Work['onProgress'] = (what, done, total) =>
          work.onProgress(`${what} at ${formatCount(context)}`, done, total);
        runs.push(await (bench === 'decode' ? benchDecode : benchPrefill)({ ...run, context, ...work, onProgress }));
      }
      const report: SpeedReport = {
        bench,
        model: model.name,
        text: text.name,
        threads: model.threads,
        precision: model.precision,
        versions: versionsOf(Object.assign({}, ...[...peers.values()].map((peer) => peer.versions))),
        machine: machineOf(),
        runs,
      };
      printResult(options.json, jsonOf(report), () => describeSpeed(report));
    });
  } finally {
    for (const peer of peers.values()) await peer.dispose();
  }
}

/** The model with room for `tokensNeeded` tokens, and the text. */
export async function loadForBench(
  { model, text, context, precision, threads, verify }: ModelFlags & { text: string },
  tokensNeeded: number,
  signal: AbortSignal,
): Promise<{ model: Model; text: NamedText }> {
  const content = await readPromptFile(text);
  const loading = { precision, threads, verify, ...showLoading(), signal };
  const loaded = await loadModel(model, { context: context ?? tokensNeeded, ...loading });
  return { model: loaded, text: { name: basename(text), content } };
}

/** Prompts are read as `generate` reads them: without certificates. */
const prefillSpec = ({ certify: _, ...spec }: PolicySpec): PolicySpec => spec;

/** With one context, its times, the first peer, the ratio and the divergence are at the top as well. */
function jsonOf(report: SpeedReport): object {
  const [first] = report.runs;
  if (report.runs.length !== 1 || first === undefined) return report;
  const [peer] = first.peers;
  return { ...report, ours: first.ours, peer: peer ?? null, ratio: peer?.ratio ?? null, kl: first.kl };
}

function describeSpeed(report: SpeedReport): string {
  const { model, threads, precision, versions, machine } = report;
  const { names, rows } = speedTable(report, {
    separator: '@',
    timeShares: { name: 'attention', of: ({ attention }) => formatShare(attention) },
  });
  const about = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${model}, ${threads} threads, ${precision}; ${machine.processor}, ${machine.cores} cores, load ${machine.load}`,
    about.join(', '),
    table(names, rows),
  ].join('\n');
}
