/**
 * Estimated errors against the true ones in float64, row by row: `npm run bench:estimates` prints how far the estimates hold.
 *
 *   npm run bench:estimates -- [--captures FILE]... [--text FILE] [--keys COUNT]
 *     [--seed NUMBER] [--scales NUMBER,...] [--out FILE] [--plot FILE] [--json]
 *
 * The keys are those of captured heads (default: the captures and a text beside the repository, where they are there), of
 * nano over the text, and planted ones of every kind that a sample may have trouble with,
 * another head of each for another seed. `--out` writes the table as a document, and
 * `--plot` draws rows of each.
 */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import {
  benchEstimates,
  captureHeads,
  describeEstimates,
  type EstimateSet,
  estimatesDocument,
  estimatesTable,
  formatTable,
  readCapture,
} from '@keysieve/lab';
import { plotCalibration } from '@keysieve/lab/plot';
import { loadModel } from '@keysieve/llm';

const SHARED = new URL('../../shared/', import.meta.url).pathname;
const CAPTURES = ['smollm2-8k', 'smollm2-32k'].map((name) => `${SHARED}captures/${name}.safetensors`);
const TEXT = `${SHARED}texts/war-and-peace.txt`;

const { values: flags } = parseArgs({
  options: {
    captures: { type: 'string', multiple: true, default: CAPTURES.filter((file) => existsSync(file)) },
    text: { type: 'string', ...(existsSync(TEXT) && { default: TEXT }) },
    keys: { type: 'string', default: '8192' },
    seed: { type: 'string', default: '1' },
    scales: { type: 'string' },
    out: { type: 'string' },
    plot: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const keys = Number(flags.keys);
const seed = Number(flags.seed);
const scales = flags.scales?.split(',').map(Number);

const captured: EstimateSet[] = [];
for (const file of flags.captures) {
  captured.push({ name: basename(file, '.safetensors'), heads: await readCapture(file) });
}
if (flags.text !== undefined) {
  await using model = await loadModel('nano', { context: keys });
  const text = { name: basename(flags.text), content: await readFile(flags.text, 'utf8') };
  captured.push({ name: 'nano', heads: await captureHeads({ model, text, tokens: keys }) });
}
const results = await benchEstimates({ captured, keys, seed, ...(scales !== undefined && { scales }) });
if (flags.plot !== undefined) await writeFile(flags.plot, plotCalibration(results));
if (flags.out !== undefined) await writeFile(flags.out, estimatesDocument(results));
if (flags.json) console.log(JSON.stringify(results.map(({ rows: _, ...each }) => each)));
else {
  const { names, rows } = estimatesTable(results);
  console.log(`${formatTable(names, rows)}\n${describeEstimates(results)}`);
}
