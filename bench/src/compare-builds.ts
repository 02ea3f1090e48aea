/**
 * Is core slower than it was? Loads two builds of it in one process and lets them attend in turn. From the root:
 *
 *   npm run build && node --conditions keysieve-source --import tsx bench/src/compare-builds.ts \
 *     --old OLD/packages/core/dist [--new packages/core/dist] [--lengths 2048,8192] [--threads 1] [--json]
 *
 * The old build is a checkout of another commit, installed and built. Ratios are its time over the new one's: above 1,
 * the new one is faster.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  type Build,
  type BuildAttention,
  type BuildShape,
  compareBuilds,
  formatSpread,
  formatTable,
} from '@keysieve/lab';
import type * as Core from 'keysieve';

const { values } = parseArgs({
  options: {
    old: { type: 'string' },
    new: { type: 'string', default: 'packages/core/dist' },
    lengths: { type: 'string', default: '2048,8192' },
    threads: { type: 'string', default: '1' },
    layers: { type: 'string', default: '8' },
    policy: { type: 'string', default: 'sieve@fixed:256' },
    decode: { type: 'string', default: '300' },
    prefill: { type: 'string', default: '20' },
    block: { type: 'string', default: '512' },
    json: { type: 'boolean', default: false },
  },
});
if (values.old === undefined) {
  console.error('compare-builds: give --old OLD/packages/core/dist');
  process.exit(2);
}

/** Heads of SmolLM2-135M. */
const SHAPE: BuildShape = {
  layers: Number(values.layers),
  heads: 9,
  keyValueHeads: 3,
  headDim: 64,
  threads: Number(values.threads),
};

async function openBuild(folder: string): Promise<Build> {
  const core: typeof Core & OldNames = await import(pathToFileURL(resolve(folder, 'index.mjs')).href);
  const [policy = '', budget] = values.policy.split('@');
  const spec = budget === undefined ? { policy } : { policy, budget };
  const encodings = (core.policyEncodings ?? core.policyPlanes)(spec);
  return async ({ capacity, ...shape }): Promise<BuildAttention> => {
    const options = { ...shape, capacity, precision: 'f16' as const, encodings, planes: encodings };
    const attention = await core.createAttention(options);
    const { cache } = attention;
    cache.reserve(capacity);
    let filled = 0;
    return {
      fill(layer, keys, rows) {
        cache.write(layer, 0, keys, rows);
        filled++;
        if (filled === shape.layers) cache.commit(capacity);
      },
      attend({ isPrefill, ...step }) {
        // Both names of the option, the old one and the new one.
        const request = { ...step, policy: spec, shareSamples: isPrefill, sharing: isPrefill };
        attention.attend(request);
      },
      [Symbol.asyncDispose]: () => attention[Symbol.asyncDispose](),
    };
  };
}

/** Names that builds before the first release had. */
interface OldNames {
  policyPlanes: typeof Core.policyEncodings;
}

const rows = await compareBuilds({
  before: await openBuild(values.old),
  after: await openBuild(values.new),
  shape: SHAPE,
  lengths: values.lengths.split(',').map(Number),
  rounds: { decode: Number(values.decode), prefill: Number(values.prefill) },
  blockQueries: Number(values.block),
  signal: new AbortController().signal,
  onProgress() {},
});
if (values.json) console.log(JSON.stringify({ shape: SHAPE, policy: values.policy, rows }));
else {
  console.log(
    `${values.policy}, ${SHAPE.layers} layers, ${SHAPE.heads} heads on ${SHAPE.keyValueHeads}, ${SHAPE.threads} threads`,
  );
  console.log(
    formatTable(
      ['what', 'keys', 'ms before', 'ms after', 'before / after', 'processor', 'outputs differ by'],
      rows.map(({ what, keys, before, after, ratio, difference }) => [
        what,
        keys.toLocaleString('en-US'),
        formatSpread(before, 2),
        formatSpread(after, 2),
        formatSpread(ratio.wall, 3),
        formatSpread(ratio.cpu, 3),
        difference.toExponential(1),
      ]),
    ),
  );
}
