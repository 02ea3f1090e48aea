/** `keysieve serve`: models behind the HTTP interfaces that clients of OpenAI and Anthropic speak. */
import { once } from 'node:events';
import { llmError } from '@keysieve/llm';
import { createLogger, type Limits, localModel, type ModelSource, startServer } from '@keysieve/server';
import { Command, Option } from 'commander';
import { EXIT } from '../errors.ts';
import { showLoading } from '../loading.ts';
import {
  type AttentionFlags,
  addAttentionOptions,
  addModelOptions,
  attentionSpec,
  collect,
  type ModelFlags,
  parsePositiveInteger,
  parseWholeNumber,
  policySpec,
} from '../options.ts';
import { note } from '../terminal.ts';

interface Options extends Omit<ModelFlags, 'model'>, AttentionFlags {
  model: string[];
  host: string;
  port: number;
  apiKey?: string;
  corsOrigin?: string[];
  prefill?: string;
  parallel?: number;
  queue?: number;
  sessions?: number;
  cacheLimit?: number;
  cacheDir?: string;
  cacheDirLimit?: number;
  timeLimit?: number;
  verbose?: boolean;
}

export function serveCommand(): Command {
  const command = new Command('serve').description('serve models to clients of the OpenAI and Anthropic APIs');
  addModelOptions(command);
  acceptMany(command, '--model', 'nano');
  addAttentionOptions(command);
  command
    .option('--prefill <policy>', 'how prompts are read: dense, or POLICY@BUDGET (default: as they are answered)')
    .option('--host <address>', 'address to listen on; others than loopback need --api-key', '127.0.0.1')
    .option('-p, --port <port>', 'port to listen on, 0 for a free one', parseWholeNumber, 8080)
    .addOption(new Option('--api-key <key>', 'key that requests must bring').env('KEYSIEVE_API_KEY'))
    .option(
      '--cors-origin <origin>',
      'web page that may call (default: pages of this machine); may be given again',
      collect,
    )
    .option('--parallel <count>', 'requests answered at a time, decoded together (default: 4)', parsePositiveInteger)
    .option('--queue <count>', 'requests that may wait (default: 64)', parseWholeNumber)
    .option('--sessions <count>', 'prompts whose caches are kept (default: 4)', parsePositiveInteger)
    .option('--cache-limit <bytes>', 'of all caches that are kept (default: a quarter of memory)', parsePositiveInteger)
    .option('--cache-dir <folder>', 'where prompts are kept for later runs (default: they end with the server)')
    .option('--cache-dir-limit <bytes>', 'of the files in it (default: 8 GiB)', parsePositiveInteger)
    .option('--time-limit <seconds>', 'that a request may take (default: 3600)', parsePositiveInteger)
    .option('--verbose', 'log every request on stderr, as a line of JSON without its text');
  return command.action((options: Options) => serve(options));
}

/** Makes a list of an option that the other subcommands take once. */
function acceptMany(command: Command, flag: string, fallback: string): void {
  const option = command.options.find(({ long }) => long === flag) as Option;
  const values: string[] = [];
  option.description += '; NAME=MODEL gives it a name, and it may be given again';
  option.default([fallback], fallback).argParser((value: string) => {
    values.push(value);
    return values;
  });
  command.setOptionValueWithSource(option.attributeName(), option.defaultValue, 'default');
}

async function serve(options: Options): Promise<void> {
  const { host, port, apiKey, corsOrigin, prefill, verbose = false } = options;
  if (options.law !== undefined) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'serve takes no law: it belongs to one model, and several may be served.',
      remedy: 'Leave --law out, and give a budget that is no total.',
    });
  }
  const server = await startServer({
    models: modelSources(options),
    host,
    port,
    ...(apiKey !== undefined && { apiKey }),
    ...(corsOrigin !== undefined && { corsOrigins: corsOrigin }),
    attention: attentionSpec(options),
    ...(prefill !== undefined && { prefill: policySpec(prefill) }),
    ...(options.cacheDir !== undefined && { cacheFolder: options.cacheDir }),
    limits: limitsOf(options),
    logger: createLogger(verbose ? 'info' : 'error', process.stderr),
  });
  note(`Listening on ${server.url} (for OpenAI clients: ${server.url}/v1). Ctrl-C stops.`);
  const interrupt = nextInterrupt();
  try {
    await Promise.race([server.ready.then(() => note('Ready.')), interrupt]);
    await interrupt;
    note('Stopping: answers in progress may finish. Ctrl-C again ends at once.');
    process.once('SIGINT', () => process.exit(EXIT.interrupted));
  } finally {
    await server.close();
  }
}

/** Resolves at Ctrl-C, or when the process is told to end. */
const nextInterrupt = (): Promise<unknown> => Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);

/** `NAME=MODEL`, or a model under its own name. */
function modelSources({ model, context, precision, threads, verify }: Options): ModelSource[] {
  const loading = { context, precision, threads, verify, ...showLoading() };
  return model.map((text) => {
    const [, id, source] = /^([\w.-]+)=(.+)$/.exec(text) ?? [text, nameOf(text), text];
    return localModel(id as string, source as string, loading);
  });
}

/** The name of a file without its folder and ending, of a repository without its owner. */
const nameOf = (source: string): string =>
  (source.split(/[\\/]/).at(-1) as string).replace(/^hf:/, '').replace(/\.gguf$/i, '');

function limitsOf({ parallel, queue, sessions, cacheLimit, cacheDirLimit, timeLimit }: Options): Partial<Limits> {
  return {
    ...(parallel !== undefined && { parallel }),
    ...(queue !== undefined && { maxWaiting: queue }),
    ...(sessions !== undefined && { maxSessions: sessions }),
    ...(cacheLimit !== undefined && { maxCacheBytes: cacheLimit }),
    ...(cacheDirLimit !== undefined && { maxFolderBytes: cacheDirLimit }),
    ...(timeLimit !== undefined && { maxRequestMs: timeLimit * 1000 }),
  };
}
