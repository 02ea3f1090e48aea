/** `keysieve bench sessions`: what sessions that decode together gain, and how long a prompt keeps them waiting. */
import { benchSessions, formatCount, machineOf, type SessionsResult, takeTokens, versionsOf } from '@keysieve/lab';
import { Command } from 'commander';
import {
  type AttentionFlags,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  type ModelFlags,
  parsePositiveInteger,
} from '../options.ts';
import { printResult } from '../tables.ts';
import { withProgress } from '../terminal.ts';
import { loadForBench } from './bench-speed.ts';

interface Options extends ModelFlags, AttentionFlags {
  text: string;
  tokens: number;
  prompt: number;
  sessions: number;
  steps: number;
  rounds: number;
  json?: boolean;
}

export function sessionsCommand(): Command {
  const command = new Command('sessions').description(
    'tokens a second of sessions that decode together, against one alone, and what a prompt costs them meanwhile',
  );
  command
    .requiredOption('--text <file>', 'the text: its beginning is the context')
    .option('--tokens <count>', 'tokens of context, which the sessions share', parsePositiveInteger, 2048)
    .option('--prompt <count>', 'tokens of the prompt that is read while they decode', parsePositiveInteger, 8192)
    .option('--sessions <count>', 'sessions that decode together', parsePositiveInteger, 8)
    .option('--steps <count>', 'tokens that each decodes in a round', parsePositiveInteger, 64)
    .option('--rounds <count>', 'rounds, in which one session and all of them take turns', parsePositiveInteger, 3);
  addAttentionOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action(run);
}

async function run(options: Options): Promise<void> {
  const { tokens: context, prompt, sessions, steps, rounds } = options;
  const count = context + prompt;
  // Whoever decodes while the prompt is read has room for a token a chunk, and more.
  const room = Math.max(prompt, context + 4 * steps) + 512;
  await withProgress(async (work) => {
    const { model, text } = await loadForBench(options, room, work.signal);
    await using _ = model;
    const ids = model.tokenizer.encode(text.content, { special: false });
    const tokens = takeTokens(ids, { name: text.name, offset: 0, count });
    const attention = attentionSpec(options);
    const result = await benchSessions({ model, tokens, context, prompt, sessions, steps, rounds, attention, ...work });
    const { name, threads, precision } = model;
    const about = { bench: 'sessions', model: name, threads, precision, versions: versionsOf(), machine: machineOf() };
    printResult(options.json, { ...about, ...result }, () => describe(result));
  });
}

function describe({ context, sessions, alone, together, ratio, meanwhile }: SessionsResult): string {
  const { prompt, chunks, chunksBetweenTokens, chunkMs, longestGapMs, longestGapChunks } = meanwhile;
  const times = (x: number) => x.toFixed(2);
  return [
    `Behind ${formatCount(context)} tokens: one session ${alone.median.toFixed(1)} tokens a second, ` +
      `${sessions} together ${together.median.toFixed(1)}: ${times(ratio.median)} x (${times(ratio.low)} to ${times(ratio.high)})`,
    `A prompt of ${formatCount(prompt)} tokens meanwhile, in ${chunks} chunks of ${chunkMs.median.toFixed(0)} ms: at most ` +
      `${chunksBetweenTokens} between two tokens of a session, the longest wait ${longestGapMs.toFixed(0)} ms (${times(longestGapChunks)} chunks)`,
  ].join('\n');
}
