/** `keysieve generate`: reads a prompt, streams what the model makes of it, and says what that cost and how exact it was. */
import {
  type AttentionSummary,
  type ChatMessage,
  decodePrompt,
  type GenerateOptions,
  type GenerationResult,
  llmError,
  loadModel,
  type Model,
  readPromptFile,
} from '@keysieve/llm';
import { Command } from 'commander';
import type { PolicySpec, Precision } from 'keysieve';
import { checkLaw, divided, openLaw } from '../law-budgets.ts';
import { showLoading } from '../loading.ts';
import {
  type AttentionOptions,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  cachePrecisionOption,
  collect,
  finiteNumber,
  type ModelOptions,
  policySpec,
  positiveInteger,
  wholeNumber,
} from '../options.ts';
import { abortOnInterrupt, createProgress, formatCount, formatShare, note } from '../terminal.ts';

interface Options extends ModelOptions, AttentionOptions {
  prompt?: string;
  promptFile?: string;
  chat?: boolean;
  system?: string;
  maxTokens: number;
  temperature: number;
  topP?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  stop?: string[];
  prefill?: string;
  cachePrecision?: Precision;
  json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command('generate').description('continue a prompt, or answer it with --chat');
  command
    .option('-p, --prompt <text>', 'the prompt')
    .option('-f, --prompt-file <file>', 'a file with the prompt, - for standard input')
    .option('--chat', "wrap the prompt in the model's chat template")
    .option('--system <text>', 'system message of the chat')
    .option('-n, --max-tokens <count>', 'most tokens to generate', wholeNumber, 256)
    .option('-t, --temperature <number>', '0 takes the likeliest token', finiteNumber, 0)
    .option('--top-p <share>', 'sample from the likeliest tokens that hold this share', finiteNumber)
    .option('--top-k <count>', 'sample from so many tokens', positiveInteger)
    .option('--min-p <share>', 'sample from tokens at least this likely, relative to the likeliest', finiteNumber)
    .option('--repetition-penalty <factor>', 'makes tokens that were there less likely', finiteNumber)
    .option('--seed <number>', 'the same seed gives the same text', wholeNumber)
    .option('--stop <text>', 'end at this text; may be given again', collect)
    .option(
      '--prefill <policy>',
      'how the prompt is read: dense, or POLICY@BUDGET (default: as --attention, if that is sieve)',
    )
    .addOption(cachePrecisionOption());
  addModelOptions(command);
  addAttentionOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => generate(options));
}

async function generate(options: Options): Promise<void> {
  const prompt = await readPrompt(options);
  const [asked, read] = [attentionSpec(options), prefillSpec(options)];
  const law = await openLaw(options.law, [asked, read]);
  const { signal, release } = abortOnInterrupt();
  try {
    await using model = await loadModel(options.model, { ...loadOptions(options), ...showLoading(), signal });
    if (model.stretched) {
      note(
        `warning: RoPE is stretched from ${formatCount(model.config.contextLength)} to ` +
          `${formatCount(model.contextLength)} tokens; the model was not trained on this.`,
      );
    }
    if (options.attention === 'dense' && options.budget !== undefined) {
      note('warning: dense attention reads every key; the budget is not used.');
    }
    await checkLaw(law, model, signal);
    await using session = await model.createSession({
      attention: divided(asked, law),
      prefill: divided(read, law),
      cachePrecision: options.cachePrecision,
    });
    const progress = createProgress('reading', 'tokens');
    const generation = session.generate(options.chat ? chatOf(options, prompt) : prompt, {
      ...samplingOptions(options),
      maxTokens: options.maxTokens,
      ...(options.stop === undefined ? {} : { stop: options.stop }),
      signal,
      onPrefill: ({ done, total }) => progress.update(done, total),
    });
    let started = false;
    for await (const { text } of generation) {
      if (!started) progress.stop();
      started = true;
      if (!options.json) process.stdout.write(text);
    }
    progress.stop();
    const result = await generation.result;
    const memory = { residentBytes: process.memoryUsage.rss(), cacheBytes: session.cacheBytes };
    const attention = { ...result.attention, denseBelow: session.denseBelow ?? null };
    if (options.json) process.stdout.write(`${JSON.stringify({ ...result, attention, memory })}\n`);
    else {
      process.stdout.write('\n');
      note(summaryOf(result, model));
    }
  } finally {
    release();
  }
}

/** Long prompts are read as they are answered; what draws no samples would gain nothing there. */
function prefillSpec({ prefill, ...options }: Options): PolicySpec {
  if (prefill !== undefined) return policySpec(prefill);
  const { policy, budget } = attentionSpec(options);
  if (policy !== 'sieve' || budget?.startsWith('mass')) return { policy: 'dense' };
  return { policy: 'sieve', ...(budget !== undefined && { budget }) };
}

async function readPrompt({ prompt, promptFile, chat, system }: Options): Promise<string> {
  if (system !== undefined && !chat) throw wrongCall('--system goes with --chat.', 'Add --chat, or leave it out.');
  if (prompt !== undefined && promptFile !== undefined) {
    throw wrongCall('There are two prompts.', 'Give --prompt or --prompt-file, not both.');
  }
  if (prompt !== undefined) return prompt;
  if (promptFile !== undefined && promptFile !== '-') return readPromptFile(promptFile);
  if (promptFile === undefined && process.stdin.isTTY) {
    throw wrongCall('There is no prompt.', 'Give --prompt TEXT or --prompt-file FILE, or pipe a text in.');
  }
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return decodePrompt(Buffer.concat(chunks), 'standard input');
}

const wrongCall = (problem: string, remedy: string) => llmError({ code: 'invalid-argument', problem, remedy });

const chatOf = ({ system }: Options, content: string): ChatMessage[] => [
  ...(system === undefined ? [] : [{ role: 'system', content: system }]),
  { role: 'user', content },
];

/** The options that were given, without those that were not. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

const loadOptions = ({ context, precision, threads }: Options) => given({ context, precision, threads });

const samplingOptions = (options: Options): GenerateOptions => {
  const { temperature, topP, topK, minP, repetitionPenalty, seed } = options;
  return given({ temperature, topP, topK, minP, repetitionPenalty, seed });
};

function summaryOf(result: GenerationResult, model: Model): string {
  const { promptTokens, prefillMs, decodeMs, tokens, attention, prefillAttention } = result;
  const perToken = decodeMs.reduce((sum, ms) => sum + ms, 0) / Math.max(1, decodeMs.length);
  return [
    `${formatCount(promptTokens)} tokens read in ${(prefillMs / 1000).toFixed(1)} s ` +
      `(${formatCount((promptTokens / prefillMs) * 1000)} a second); ${describeAttention(prefillAttention)}`,
    `${formatCount(tokens.length)} written${decodeMs.length > 0 ? `, ${perToken.toFixed(1)} ms each` : ''}; ` +
      `${describeAttention(attention)}; ${model.precision} precision`,
  ].join('\n');
}

function describeAttention({
  policy,
  budget,
  keysRead,
  keysCoded,
  denseShare,
  tailMass,
  outputError,
  certificate,
}: AttentionSummary): string {
  const name = `${policy}${budget === null ? '' : ` ${budget}`} attention`;
  if (keysRead.share === 1) return `${name}, every key read`;
  const sure = certificate === 'certified' ? 'at most' : 'about';
  const known = (value: number | null) => (value === null ? 'not bounded' : `${sure} ${formatShare(value)}`);
  const parts = [
    `${formatShare(keysRead.share)} of the keys read`,
    ...(keysCoded.mean > 0 ? [`${formatCount(keysCoded.mean)} more a head by 4-bit codes`] : []),
    ...(denseShare > 0 ? [`${formatShare(denseShare)} of the heads densely`] : []),
    `not read exactly ${known(tailMass.mean)} of the softmax`,
    `error of the outputs ${known(outputError.mean)} (means, ${certificate})`,
  ];
  return `${name}: ${parts.join(', ')}`;
}
