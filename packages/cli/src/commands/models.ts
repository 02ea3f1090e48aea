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

/** What each list was checked against; tests go over the lists, so that nothing is in one that was not. */
const CHECKED = {
  architectures: 'a small model of each against llama.cpp v0.4.0: token ids, KL below 1e-5 nats, greedy answers',
  storageTypes: 'values of each against the gguf package, bit by bit; cut and changed files',
  preTokenizers: '1,936 texts against the tokenizers package and llama.cpp: docs/models.md names every difference',
};

export function modelsCommand(): Command {
  const command = new Command('models').description('architectures, storage types and tokenizers that can be run');
  addJsonOption(command);
  return command.action((options: Options) => describeModels(options));
}

function describeModels({ json }: Options): void {
  const lists = {
    architectures: supportedArchitectures,
    storageTypes: supportedTensorTypes,
    tokenizers: Object.keys(TOKENIZERS),
    preTokenizers: supportedPreTokenizers,
    checked: CHECKED,
  };
  const tokenizers = Object.entries(TOKENIZERS).map(([name, what]) => `${name} (${what})`);
  printResult(json, lists, () =>
    fields([
      ['architectures', `${lists.architectures.join(', ')}; checked: ${CHECKED.architectures}`],
      ['storage types', `${lists.storageTypes.join(', ')}; checked: ${CHECKED.storageTypes}`],
      ['tokenizers', tokenizers.join(', ')],
      ['pre-tokenizers', `${lists.preTokenizers.join(', ')}; checked: ${CHECKED.preTokenizers}`],
    ]),
  );
}
