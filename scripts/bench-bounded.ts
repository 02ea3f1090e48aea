/**
 * A long text read in bounded memory, and what the process takes and reads a second on its way:
 * `npm run bench:bounded -- --text FILE [--model MODEL] [--policy remains@fixed:512] [--lengths 8192,131072] [--threads 2]`.
 * The text is read again from its beginning where it is too short. `--precision` as for `keysieve`.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { benchBounded, formatBytes, formatCount, GENERATED_TOKENS, machineOf } from '@keysieve/lab';
import { type LoadOptions, loadModel } from '@keysieve/llm';

const { values } = parseArgs({
  options: {
    text: { type: 'string' },
    model: { type: 'string', default: 'nano' },
    policy: { type: 'string', default: 'remains@fixed:512' },
    lengths: { type: 'string', default: '8192,131072' },
    threads: { type: 'string', default: '2' },
    precision: { type: 'string', default: 'fp32' },
  },
});
if (values.text === undefined) throw new Error('Name a text: --text FILE.');

const [policy = '', budget = ''] = values.policy.split('@');
const lengths = values.lengths.split(',').map(Number);
const threads = Number(values.threads);
const context = Math.max(...lengths) + lengths.length * GENERATED_TOKENS;
const precision = values.precision as NonNullable<LoadOptions['precision']>;
await using model = await loadModel(values.model, { context, threads, precision });
const { processor, cores } = machineOf();
console.log(
  `${model.name} in ${precision}, ${threads} threads of ${processor} with ${cores} cores, ${policy} ${budget}`,
);
console.log('tokens; tokens a second, read and generated; bytes of the session, of the process, and at most so far;');
console.log('share of the softmax that is gone, estimated and at least');
const { lengths: measured } = await benchBounded({
  model,
  text: await readFile(values.text, 'utf8'),
  attention: { policy, budget },
  lengths,
});
for (const { tokens, readPerSecond, generatedPerSecond, bytes, residentBytes, peakBytes, ...gone } of measured) {
  const rates = [readPerSecond, generatedPerSecond].map((rate) => formatCount(Math.round(rate)));
  const memory = [bytes, residentBytes, peakBytes].map(formatBytes);
  const shares = [gone.gone, gone.goneAtLeast].map((share) => share.toFixed(4));
  console.log([formatCount(tokens), ...rates, ...memory, ...shares].join('  '));
}
