/** `keysieve models`: what kinds of model files can be run, from the lists that loading them goes by. */
import { printableJson, supportedArchitectures, supportedPreTokenizers, supportedTensorTypes } from '@keysieve/llm';
import { Command } from 'commander';
import { addJsonOption } from '../options.ts';
import { print } from '../terminal.ts';

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
  if (json) {
    print(`${printableJson(lists)}\n`);
    return;
  }
  const lines = [
    `architectures   ${lists.architectures.join(', ')}`,
    `storage types   ${lists.storageTypes.join(', ')}`,
    `tokenizers      ${Object.entries(TOKENIZERS)
      .map(([name, what]) => `${name} (${what})`)
      .join(', ')}`,
    `pre-tokenizers  ${lists.preTokenizers.join(', ')}`,
  ];
  print(`${lines.join('\n')}\n`);
}
