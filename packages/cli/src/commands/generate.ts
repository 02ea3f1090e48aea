/** `keysieve generate`: reads a prompt, streams what the model makes of it, and says what that cost and how exact it was. */
import { formatCount, formatShare, readInput, withLawBudget } from '@keysieve/lab';
import {
  type AttentionSummary,
  type Audit,
  type ChatMessage,
  createAnswerPrinter,
  decodePrompt,
  type GenerateOptions,
  type GenerationResult,
  type GrammarSpec,
  llmError,
  loadModel,
  type Model,
  printableJson,
  readPromptFile,
  type SessionOptions,
} from '@keysieve/llm';
import { Command } from 'commander';
import { certifiedPrompt, createPolicy, type Precision } from 'keysieve';
import { EXIT } from '../errors.ts';
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
  parseJsonObject,
  parseMassShare,
  parseWholeNumber,
  policySpec,
  takesBudget,
} from '../options.ts';
import { abortOnInterrupt, brokenOutput, createProgress, note, print } from '../terminal.ts';

interface Options extends ModelFlags, AttentionFlags {
  prompt?: string;
  promptFile?: string;
  chat?: boolean;
  system?: string;
  templateVariables?: Record<string, unknown>;
  maxTokens: number;
  temperature: number;
  topP?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  stop?: string[];
  special?: boolean;
  schema?: string;
  regex?: string;
  prefill?: string;
  cacheFile?: string;
  compact?: boolean;
  cachePrecision?: Precision;
  certifyPrompt?: number;
  audit?: number;
  deterministic?: boolean;
  json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command('generate').description('continue a prompt, or answer it with --chat');
  command
    .argument('[prompt]', 'the prompt, as with --prompt')
    .option('-p, --prompt <text>', 'the prompt')
    .option('-f, --prompt-file <file>', 'a file with the prompt, - for standard input')
    .option('--chat', "wrap the prompt in the model's chat template")
    .option('--system <text>', 'system message of the chat')
    .option(
      '--template-variables <json>',
      `an object of variables that the chat template reads, such as {"enable_thinking": false}`,
      parseJsonObject,
    )
    .option('-n, --max-tokens <count>', 'most tokens to generate', parseWholeNumber, 256)
    .option('-t, --temperature <number>', '0 takes the likeliest token', parseFiniteNumber, 0)
    .option(
      '--top-p <share>',
      'sample from the likeliest tokens that hold this share; 1 is off (default: 0.95)',
      parseFiniteNumber,
    )
    .option('--top-k <count>', 'sample from the k likeliest tokens; 0 is off (default: 40)', parseWholeNumber)
    .option(
      '--min-p <share>',
      'sample from tokens at least this likely, relative to the likeliest (default: 0, off)',
      parseFiniteNumber,
    )
    .option(
      '--repetition-penalty <factor>',
      'makes tokens that were there less likely (default: 1, off)',
      parseFiniteNumber,
    )
    .option(
      '--seed <number>',
      'draws by this seed; with --deterministic, the same text every time (default: random)',
      parseWholeNumber,
    )
    .option('--special', 'names of control tokens in the prompt become those tokens (default: they are text)')
    .option('--stop <text>', 'end at this text; may be given again', collect)
    .option('--schema <file>', 'hold the answer to the JSON Schema in this file')
    .option('--regex <pattern>', 'hold the answer to this regular expression')
    .option(
      '--prefill <policy>',
      'how the prompt is read: dense, or POLICY@BUDGET (default: as --attention, if that is sieve)',
    )
    .option(
      '--cache-file <file>',
      'go on from what was saved there, where it is, and save the session there at the end',
    )
    .option('--compact', 'save it quantized to 8 bits, in less than half of the bytes')
    .option(
      '--certify-prompt <share>',
      'read the prompt until at most this softmax mass is provably unread, position by position, or densely where faster',
      parseMassShare,
    )
    .option(
      '--audit <count>',
      'run this many positions of the answer with full attention too, and say how far its predictions were off; each ' +
        'costs a dense pass',
      parseWholeNumber,
    )
    .option(
      '--deterministic',
      'the same prompt and seed give the same text with any number of threads; some of them idle',
    )
    .addOption(cachePrecisionOption());
  addModelOptions(command);
  addAttentionOptions(command);
  addJsonOption(command);
  return command.action((argument: string | undefined, options: Options) => generate(withArgument(argument, options)));
}

function withArgument(argument: string | undefined, options: Options): Options {
  if (argument === undefined) return options;
  if (options.prompt !== undefined) throw usageError('There are two prompts.', 'Give PROMPT or --prompt, not both.');
  return { ...options, prompt: argument };
}

async function generate(options: Options): Promise<void> {
  if (options.compact && options.cacheFile === undefined) {
    throw usageError('--compact says how a session is saved.', 'Add --cache-file FILE, or leave it out.');
  }
  const prompt = await readPrompt(options);
  const grammar = await readGrammar(options);
  const answerSpec = attentionSpec(options);
  const promptSpecs = options.prefill === undefined ? [] : [policySpec(options.prefill)];
  const law = await loadLaw(options.law, [answerSpec, ...promptSpecs]);
  const { signal, release } = abortOnInterrupt();
  try {
    await using model = await loadModel(options.model, { ...loadOptions(options), ...showLoading(), signal });
    if (model.ropeExtended) {
      note(
        `warning: RoPE is stretched from ${formatCount(model.config.contextLength)} to ` +
          `${formatCount(model.contextLength)} tokens; the model was not trained on this.`,
      );
    }
    if (!takesBudget(options.attention) && options.budget !== undefined) {
      note(`warning: ${options.attention} reads every key; the budget is not used.`);
    }
    await checkLoadedLaw(law, model, signal);
    const attention = withLawBudget(answerSpec, law?.law);
    const [asGiven = createPolicy(attention).promptPolicy()] = promptSpecs.map((spec) => withLawBudget(spec, law?.law));
    const { certifyPrompt, audit, deterministic } = options;
    const prefill = certifyPrompt === undefined ? asGiven : certifiedPrompt(asGiven, certifyPrompt);
    const sessionOptions = { attention, prefill, cachePrecision: options.cachePrecision, deterministic };
    await using session = await openSession(model, options.cacheFile, sessionOptions, signal);
    const progress = createProgress('reading', 'tokens');
    const generation = session.generate(options.chat ? chatMessages(options, prompt) : prompt, {
      ...samplingOptions(options),
      maxTokens: options.maxTokens,
      special: options.special,
      templateVariables: options.templateVariables,
      grammar,
      audit,
      stop: options.stop,
      signal,
      onPrefill: ({ done, total }) => progress.update(done, total),
    });
    const printer = createAnswerPrinter();
    let started = false;
    for await (const { text } of generation) {
      if (!started) progress.stop();
      started = true;
      if (!options.json) print(printer.append(text));
    }
    progress.stop();
    const result = await generation.result;
    if (options.cacheFile !== undefined) await session.save(options.cacheFile, { compact: options.compact });
    if (brokenOutput() !== undefined) return;
    const memory = { residentBytes: process.memoryUsage.rss(), cache: session.memory };
    const fullAttentionBelow = session.fullAttentionBelow ?? null;
    if (options.json) print(`${printableJson({ ...result, fullAttentionBelow, memory })}\n`);
    else {
      if (started) print('\n');
      note(describeResult(result, model));
    }
    if (result.finishReason === 'aborted') process.exitCode = EXIT.interrupted;
  } finally {
    release();
  }
}

/** The session that was saved in a file, or a new one where the file is missing. */
async function openSession(model: Model, file: string | undefined, options: SessionOptions, signal: AbortSignal) {
  if (file === undefined) return model.createSession(options);
  try {
    const cachePrecision = options.cachePrecision;
    return await model.restore(file, { ...options, ...(cachePrecision && { cachePrecision }), signal });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'snapshot-not-found') return model.createSession(options);
    throw error;
  }
}

async function readPrompt({ prompt, promptFile, chat, system, templateVariables }: Options): Promise<string> {
  for (const [option, value] of Object.entries({ system, 'template-variables': templateVariables })) {
    if (value !== undefined && !chat) throw usageError(`--${option} goes with --chat.`, 'Add --chat, or leave it out.');
  }
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

/** What the answer is held to. */
async function readGrammar({ schema: file, regex }: Options): Promise<GrammarSpec | undefined> {
  if (regex !== undefined && file !== undefined) {
    throw usageError('An answer is held to one thing.', 'Give --schema or --regex, not both.');
  }
  if (regex !== undefined) return { type: 'regex', pattern: regex };
  if (file === undefined) return undefined;
  const text = await readInput(file);
  try {
    const schema: unknown = JSON.parse(text);
    if (typeof schema === 'boolean' || (typeof schema === 'object' && schema !== null && !Array.isArray(schema))) {
      return { type: 'schema', schema: schema as Record<string, unknown> };
    }
  } catch {
    // Said below.
  }
  throw usageError(`${file} is no JSON Schema.`, 'Give a file with one JSON object, or true or false.');
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

const loadOptions = ({ context, precision, threads, verify }: Options) =>
  definedOnly({ context, precision, threads, verify });

const samplingOptions = (options: Options): GenerateOptions => {
  const { temperature, topP, topK, minP, repetitionPenalty, seed } = options;
  return definedOnly({ temperature, topP, topK, minP, repetitionPenalty, seed });
};

/** Whether two passes attended in one way, with every key read: one line then says it for both. */
const isSame = (a: AttentionSummary, b: AttentionSummary) =>
  a.policy === b.policy && a.budget === b.budget && a.keysExact.share === 1 && b.keysExact.share === 1;

function describeResult(result: GenerationResult, model: Model): string {
  const { promptTokens, reusedTokens, prefillMs, decodeMs, tokens, prompt, answer, finishReason } = result;
  const perToken = decodeMs.reduce((sum, ms) => sum + ms, 0) / Math.max(1, decodeMs.length);
  const speed = formatCount(((promptTokens - reusedTokens) / prefillMs) * 1000);
  const read = `${formatCount(promptTokens)} tokens read in ${(prefillMs / 1000).toFixed(1)} s (${speed} a second)`;
  const written = `${formatCount(tokens.length)} written${decodeMs.length > 0 ? `, ${perToken.toFixed(1)} ms each` : ''}`;
  const how = `${model.precision} precision`;
  if (finishReason === 'aborted' && tokens.length === 0) return 'Interrupted before the prompt was read.';
  return [
    ...(finishReason === 'aborted' ? ['Interrupted: the answer ends here, before its end.'] : []),
    ...(finishReason === 'context'
      ? [
          `The answer ends here because the context of ${formatCount(model.contextLength)} tokens is full; --context gives more.`,
        ]
      : []),
    ...(answer.attention === null || isSame(answer.attention, prompt.attention)
      ? [`${read}, ${written}; ${describeAttention(prompt.attention)}; ${how}`]
      : [
          `Prompt: ${read}; ${describeAttention(prompt.attention)}`,
          `Answer: ${written}; ${describeAttention(answer.attention)}; ${how}`,
        ]),
    ...(answer.audit === null ? [] : [describeAudit(answer.audit)]),
  ].join('\n');
}

/** What an audit has measured, beside what was reported at the same positions. */
function describeAudit({ positions, kl, agreement, outputError, reportedError, passes, milliseconds }: Audit): string {
  const { mean, kind } = reportedError;
  const reported = mean === null ? '' : ` (${formatShare(mean)} ${kind})`;
  return (
    `Audit at ${formatCount(positions.length)} positions, measured against full attention over the same cache: KL ` +
    `${kl.mean.toPrecision(2)} nats, the likeliest token the same at ${formatShare(agreement)}, error of the outputs ` +
    `${formatShare(outputError.mean)}${reported}; ${formatCount(passes)} dense passes took ${(milliseconds / 1000).toFixed(1)} s more`
  );
}

function describeAttention({
  policy,
  budget,
  keysExact,
  keysQuantized,
  fullAttentionShare,
  windowedShare,
  tailMass,
  outputError,
  goneAtLeast,
  kind,
}: AttentionSummary): string {
  const name = `${policy}${budget === null ? '' : ` ${budget}`} attention`;
  if (keysExact.share === 1) return `${name}, every key read`;
  const qualifier = kind === 'certified' ? 'at most' : 'about';
  const bound = (value: number | null) => (value === null ? 'not known' : `${qualifier} ${formatShare(value)}`);
  const parts = [
    `${formatShare(keysExact.share)} of the keys read`,
    ...(keysQuantized.mean > 0 ? [`${formatCount(keysQuantized.mean)} more a head by 4-bit codes`] : []),
    ...(fullAttentionShare > windowedShare
      ? [`${formatShare(fullAttentionShare - windowedShare)} of the heads by full attention`]
      : []),
    ...(windowedShare > 0 ? [`${formatShare(windowedShare)} of them all that is in a window`] : []),
    `not read exactly ${bound(tailMass.mean)} of the softmax`,
    ...(goneAtLeast > 0 ? [`gone for good at least ${formatShare(goneAtLeast)}`] : []),
    `error of the outputs ${bound(outputError.mean)} (means, ${kind})`,
  ];
  return `${name}: ${parts.join(', ')}`;
}
