/** `keysieve generate`: reads a prompt, streams what the model makes of it, and says what that cost and how exact it was. */
import { formatCount, formatShare, withLawBudget } from '@keysieve/lab';
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
import { checkLoadedLaw, loadLaw } from '../law-options.ts';
import { showLoading } from '../loading.ts';
import {
  type AttentionFlags,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  cachePrecisionOption,
  collect,
  type ModelFlags,
  parseFiniteNumber,
  parsePositiveInteger,
  parseWholeNumber,
  policySpec,
} from '../options.ts';
import { abortOnInterrupt, createProgress, note } from '../terminal.ts';

interface Options extends ModelFlags, AttentionFlags {
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
    .option('-n, --max-tokens <count>', 'most tokens to generate', parseWholeNumber, 256)
    .option('-t, --temperature <number>', '0 takes the likeliest token', parseFiniteNumber, 0)
    .option('--top-p <share>', 'sample from the likeliest tokens that hold this share', parseFiniteNumber)
    .option('--top-k <count>', 'sample from so many tokens', parsePositiveInteger)
    .option('--min-p <share>', 'sample from tokens at least this likely, relative to the likeliest', parseFiniteNumber)
    .option('--repetition-penalty <factor>', 'makes tokens that were there less likely', parseFiniteNumber)
    .option('--seed <number>', 'the same seed gives the same text', parseWholeNumber)
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
  const [answerSpec, promptSpec] = [attentionSpec(options), prefillSpec(options)];
  const law = await loadLaw(options.law, [answerSpec, promptSpec]);
  const { signal, release } = abortOnInterrupt();
  try {
    await using model = await loadModel(options.model, { ...loadOptions(options), ...showLoading(), signal });
    if (model.ropeExtended) {
      note(
        `warning: RoPE is stretched from ${formatCount(model.config.contextLength)} to ` +
          `${formatCount(model.contextLength)} tokens; the model was not trained on this.`,
      );
    }
    if (options.attention === 'dense' && options.budget !== undefined) {
      note('warning: dense attention reads every key; the budget is not used.');
    }
    await checkLoadedLaw(law, model, signal);
    await using session = await model.createSession({
      attention: withLawBudget(answerSpec, law?.law),
      prefill: withLawBudget(promptSpec, law?.law),
      cachePrecision: options.cachePrecision,
    });
    const progress = createProgress('reading', 'tokens');
    const generation = session.generate(options.chat ? chatMessages(options, prompt) : prompt, {
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
    const attention = { ...result.attention, fullAttentionBelow: session.fullAttentionBelow ?? null };
    if (options.json) process.stdout.write(`${JSON.stringify({ ...result, attention, memory })}\n`);
    else {
      process.stdout.write('\n');
      note(describeResult(result, model));
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
  if (system !== undefined && !chat) throw usageError('--system goes with --chat.', 'Add --chat, or leave it out.');
  if (prompt !== undefined && promptFile !== undefined) {
    throw usageError('There are two prompts.', 'Give --prompt or --prompt-file, not both.');
  }
  if (prompt !== undefined) return prompt;
  if (promptFile !== undefined && promptFile !== '-') return readPromptFile(promptFile);
  if (promptFile === undefined && process.stdin.isTTY) {
    throw usageError('There is no prompt.', 'Give --prompt TEXT or --prompt-file FILE, or pipe a text in.');
  }
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return decodePrompt(Buffer.concat(chunks), 'standard input');
}

const usageError = (problem: string, remedy: string) => llmError({ code: 'invalid-argument', problem, remedy });

const chatMessages = ({ system }: Options, content: string): ChatMessage[] => [
  ...(system === undefined ? [] : [{ role: 'system', content: system }]),
  { role: 'user', content },
];

/** The options that were given, without those that were not. */
function definedOnly<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

const loadOptions = ({ context, precision, threads }: Options) => definedOnly({ context, precision, threads });

const samplingOptions = (options: Options): GenerateOptions => {
  const { temperature, topP, topK, minP, repetitionPenalty, seed } = options;
  return definedOnly({ temperature, topP, topK, minP, repetitionPenalty, seed });
};

function describeResult(result: GenerationResult, model: Model): string {
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
  keysExact,
  keysQuantized,
  fullAttentionShare,
  tailMass,
  outputError,
  certificate,
}: AttentionSummary): string {
  const name = `${policy}${budget === null ? '' : ` ${budget}`} attention`;
  if (keysExact.share === 1) return `${name}, every key read`;
  const qualifier = certificate === 'certified' ? 'at most' : 'about';
  const bound = (value: number | null) => (value === null ? 'not bounded' : `${qualifier} ${formatShare(value)}`);
  const parts = [
    `${formatShare(keysExact.share)} of the keys read`,
    ...(keysQuantized.mean > 0 ? [`${formatCount(keysQuantized.mean)} more a head by 4-bit codes`] : []),
    ...(fullAttentionShare > 0 ? [`${formatShare(fullAttentionShare)} of the heads densely`] : []),
    `not read exactly ${bound(tailMass.mean)} of the softmax`,
    `error of the outputs ${bound(outputError.mean)} (means, ${certificate})`,
  ];
  return `${name}: ${parts.join(', ')}`;
}
