/** `keysieve models`: what kinds of model files can be run, from the lists that loading them goes by. */
import { supportedArchitectures, supportedPreTokenizers, supportedTensorTypes } from '@keysieve/llm';
import { Command } from 'commander';
import { addJsonOption } from '../options.ts';
import { fields, printResult } from '../tables.ts';

interface Options {
  json?: boolean;
}

/** Tokenizers by `tokenizer.ggml.model`. */
const TOKENIZERS = { gpt2: 'byte-level byte pairs', llama: 'SentencePiece byte pairs' };

export function modelsCommand(): Command {
  const command = new Command('models').description('architectures, storage types and tokenizers that can be run');
  command.addHelpText('after', '\nExample:\n  keysieve models --json');
  addJsonOption(command);
  return command.action((options: Options) => describeModels(options));
}

function describeModels({ json }: Options): void {
  const lists = {
    architectures: supportedArchitectures,
    storageTypes: supportedTensorTypes,
    tokenizers: Object.keys(TOKENIZERS),
    preTokenizers: supportedPreTokenizers,
  };
  const tokenizers = Object.entries(TOKENIZERS).map(([name, what]) => `${name} (${what})`);
  printResult(json, lists, () =>
    fields([
      ['architectures', lists.architectures.join(', ')],
      ['storage types', lists.storageTypes.join(', ')],
      ['tokenizers', tokenizers.join(', ')],
      ['pre-tokenizers', lists.preTokenizers.join(', ')],
    ]),
  );
}
