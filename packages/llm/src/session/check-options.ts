/** Checks the options of sessions, for callers whose compiler does not. All throw `invalid-argument`. */
import { ENCODINGS, PRECISIONS } from 'keysieve';
import { checkOptionNames, type OptionNames } from 'keysieve/engine';
import {
  checkArgument,
  checkChoice,
  checkOptional,
  checkOptions,
  checkSignal,
  isBoolean,
  isFunction,
  isPositiveInteger,
  isText,
} from '../arguments.ts';
import type { GrammarSpec } from '../grammar/index.ts';
import { SCANS } from '../snapshot/settings.ts';
import type { EvaluateOptions } from './evaluation.ts';
import type { GenerateOptions } from './generate-options.ts';
import type { SessionOptions } from './session-options.ts';

const SESSION_OPTIONS: OptionNames<SessionOptions> = {
  attention: true,
  prefill: true,
  encodings: true,
  denseFallback: true,
  deterministic: true,
  cachePrecision: true,
  scan: true,
  memoryLimit: true,
  prefixes: true,
  onTrace: true,
};

const GENERATE_OPTIONS: OptionNames<GenerateOptions> = {
  maxTokens: true,
  special: true,
  templateVariables: true,
  stop: true,
  constraint: true,
  grammar: true,
  promptLookup: true,
  audit: true,
  logProbabilities: true,
  signal: true,
  onPrefill: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  repetitionWindow: true,
  seed: true,
};

const EVALUATE_OPTIONS: OptionNames<EvaluateOptions> = {
  attention: true,
  chunkTokens: true,
  shareSamples: true,
  logits: true,
  onAttention: true,
  signal: true,
};

export function checkSessionOptions(options: unknown): void {
  checkOptions('The options of a session', options);
  checkOptionNames('a session', options, SESSION_OPTIONS);
  const { attention, prefill, encodings, denseFallback, deterministic, cachePrecision, scan, memoryLimit, onTrace } =
    options as Record<string, unknown>;
  checkPolicySpec('attention', attention);
  checkPolicySpec('prefill', prefill);
  const areEncodings = (value: unknown) => Array.isArray(value) && value.every((each) => ENCODINGS.includes(each));
  checkOptional('encodings', encodings, areEncodings, `a list of ${ENCODINGS.join(', ')}`);
  checkOptional('denseFallback', denseFallback, isBoolean, 'true or false');
  checkOptional('deterministic', deterministic, isBoolean, 'true or false');
  checkChoice('cachePrecision', cachePrecision, PRECISIONS);
  checkChoice('scan', scan, SCANS);
  checkOptional('memoryLimit', memoryLimit, (bytes) => (bytes as number) > 0, 'a number of bytes above 0');
  checkOptional('onTrace', onTrace, isFunction, 'a function');
}

export function checkGenerateOptions(options: unknown): void {
  checkOptions('The options of an answer', options);
  checkOptionNames('an answer', options, GENERATE_OPTIONS);
  const named = options as Record<string, unknown>;
  const { maxTokens, special, templateVariables, stop, signal, onPrefill, promptLookup, audit } = named;
  const { logProbabilities, constraint, grammar } = named;
  const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
  checkOptional('maxTokens', maxTokens, isCount, 'a whole number from 0 on');
  checkOptional('audit', audit, isCount, 'a whole number from 0 on');
  checkOptional('logProbabilities', logProbabilities, isCount, 'a whole number from 0 on');
  checkOptional('constraint', constraint, isConstraint, 'an object with the functions mask and accept');
  checkOptional('grammar', grammar, isGrammar, `an object whose type is one of ${GRAMMARS.join(', ')}`);
  checkOptional('special', special, isBoolean, 'true or false');
  const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
  checkOptional('templateVariables', templateVariables, isObject, 'an object of variables by name');
  checkOptional('stop', stop, (texts) => Array.isArray(texts) && texts.every(isText), 'a list of texts');
  checkOptional('promptLookup', promptLookup, isBoolean, 'true or false');
  checkOptional('onPrefill', onPrefill, isFunction, 'a function');
  checkSignal(signal);
}

const GRAMMARS: readonly GrammarSpec['type'][] = ['json', 'schema', 'regex', 'format'];
const isGrammar = (value: unknown) => GRAMMARS.includes((value as Partial<GrammarSpec> | null)?.type as never);

function isConstraint(value: unknown): boolean {
  const { mask, accept } = (value ?? {}) as Record<string, unknown>;
  return isFunction(mask) && isFunction(accept);
}

export function checkSaveOptions(options: unknown): void {
  checkOptions('The options of saving', options);
  const { compact, onProgress, signal } = options as Record<string, unknown>;
  checkOptional('compact', compact, isBoolean, 'true or false');
  checkOptional('onProgress', onProgress, isFunction, 'a function');
  checkSignal(signal);
}

export function checkEvaluateOptions(tokens: unknown, options: unknown): void {
  checkArgument('What is evaluated', tokens, tokens instanceof Int32Array, 'token ids in an Int32Array');
  checkOptions('The options of an evaluation', options);
  checkOptionNames('an evaluation', options, EVALUATE_OPTIONS);
  const { attention, chunkTokens, shareSamples, logits, onAttention, signal } = options as Record<string, unknown>;
  checkPolicySpec('attention', attention);
  checkOptional('chunkTokens', chunkTokens, isPositiveInteger, 'a whole number from 1 on');
  checkOptional('shareSamples', shareSamples, isBoolean, 'true or false');
  checkOptional('logits', logits, isBoolean, 'true or false');
  checkOptional('onAttention', onAttention, isFunction, 'a function');
  checkSignal(signal);
}

function checkPolicySpec(name: string, spec: unknown): void {
  const isSpec = (value: unknown) => typeof value === 'object' && value !== null && 'policy' in value;
  checkOptional(name, spec, isSpec, "an object with a policy, such as { policy: 'sieve' }");
}
