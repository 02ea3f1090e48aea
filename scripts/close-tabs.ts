/**
 * Closes a tab at twenty random moments of a download, and prints whether the file is right: `npm run torture:tabs`, with
 * another seed as its argument.
 */
import { createRandom } from '../packages/lab/src/numerics/random.ts';
import { closeTabs } from '../packages/llm/test/closed-tabs.ts';

const MOMENTS = 20;
const BYTES = 64 * 2 ** 20;
/** A range that is fetched at a time has 4 MiB. */
const MAX_VISIT_BYTES = 6 * 2 ** 20;

const seed = Number(process.argv[2] ?? 1);
const random = createRandom(seed);
const moments = Array.from({ length: MOMENTS }, () => Math.floor(random.uniform() * MAX_VISIT_BYTES));
const { expected, found, closed, sent } = await closeTabs(BYTES, moments);
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
console.log(`seed ${seed}: ${closed} of ${MOMENTS} tabs were closed before the file was whole`);
console.log(`${mib(BYTES)} were fetched, ${mib(sent)} sent: ${mib(sent - BYTES)} twice`);
console.log(`SHA-256 ${found === expected ? 'is right' : `is ${found}, and should be ${expected}`}`);
process.exitCode = found === expected ? 0 : 1;
