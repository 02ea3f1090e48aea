/** `keysieve capture`: queries, keys and values of a model's heads over a text, for `bench attention` and `claims`. */
import { basename } from 'node:path';
import { captureHeads, formatCount, type HeadPlace, writeCapture } from '@keysieve/lab';
import { loadModel, printableJson, readPromptFile } from '@keysieve/llm';
import { Command, InvalidArgumentError } from 'commander';
import { showLoading } from '../loading.ts';
import { addJsonOption, addModelOptions, type ModelFlags, parsePositiveInteger, parseWholeNumber } from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { note, print, withProgress } from '../terminal.ts';

interface Options extends ModelFlags {
  text: string;
  tokens: number;
  offset: number;
  lastQueries: number;
  heads?: HeadPlace[];
  out: string;
  json?: boolean;
}

export function captureCommand(): Command {
  const command = new Command('capture').description(
    'writes queries, keys and values of heads into a safetensors file',
  );
  command
    .requiredOption('--text <file>', 'the text that the model reads')
    .requiredOption('--out <file>', 'the safetensors file')
    .option('--tokens <count>', 'tokens of the text: the keys of each head', parsePositiveInteger, 8192)
    .option('--offset <count>', 'tokens to skip at the beginning of the text', parseWholeNumber, 0)
    .option('--last-queries <count>', 'queries of each head, counted back from the last one', parsePositiveInteger, 128)
    .option(
      '--heads <names>',
      'key-value heads, such as l0.g0,l14.g2 for head 0 of layer 0 and head 2 of layer 14 (default: six, evenly)',
      parseHeads,
    );
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run({ text: path, out, json, ...options }: Options): Promise<void> {
  const { tokens, offset, lastQueries, heads: places, context = tokens, precision, threads, verify } = options;
  const text = { name: basename(path), content: await readPromptFile(path) };
  await checkOutputs({ '--out': out }, [path, options.model]);
  await withProgress(async (work) => {
    const loading = { context, precision, threads, verify, ...showLoading(), signal: work.signal };
    await using model = await loadModel(options.model, loading);
    const heads = await captureHeads({ model, text, tokens, offset, lastQueries, heads: places, ...work });
    await writeCapture(out, heads, { metadata: { model: model.name, text: text.name } });
    const names = heads.map(({ name }) => name);
    const result = { model: model.name, text: text.name, tokens, lastQueries, heads: names, file: out };
    if (json) print(`${printableJson(result)}\n`);
    else note(`${names.join(', ')} over ${formatCount(tokens)} tokens are in ${out}.`);
  });
}

/** l0.g0,l14.g2 */
function parseHeads(text: string): HeadPlace[] {
  return text.split(',').map((name) => {
    const [, layer, keyValueHead] = /^l(\d+)\.g(\d+)$/.exec(name.trim()) ?? [];
    if (layer === undefined || keyValueHead === undefined) {
      throw new InvalidArgumentError('Write heads as l0.g0: a layer and a key-value head in it.');
    }
    return { layer: Number(layer), keyValueHead: Number(keyValueHead) };
  });
}
