/** Draws docs/speed.svg, times against llama.cpp by length of context, from the measurements in docs/performance. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { SpeedReport, SpeedResult } from '@keysieve/lab';
import { type Curve, plotCurves } from '@keysieve/lab/plot';

const PEER = 'llama.cpp';
const root = fileURLToPath(new URL('../docs/', import.meta.url));

const reports = readdirSync(`${root}performance`)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(`${root}performance/${name}`, 'utf8')) as SpeedReport)
  .filter(({ bench }) => bench === 'decode');
/** One run for each context: those with other peers repeat one of them. */
const runs = [...new Map(reports.flatMap((report) => report.runs).map((run) => [run.context, run])).values()].sort(
  (a, b) => a.context - b.context,
);

const seconds = (ms: number | undefined) => (ms ?? Number.NaN) / 1000;
const curves = (panel: string, ours: (run: SpeedResult) => number, theirs: (run: SpeedResult) => number): Curve[] => [
  { panel, name: 'Keysieve', points: runs.map((run) => ({ x: run.context, y: ours(run) })) },
  { panel, name: PEER, points: runs.map((run) => ({ x: run.context, y: theirs(run) })) },
];

const svg = plotCurves({
  name: 'speed',
  title: 'Time of a prompt and of a token of its answer',
  x: 'tokens of context',
  y: 'time',
  curves: [
    ...curves(
      'reading the prompt, seconds',
      ({ reading }) => seconds(reading?.ours),
      ({ reading }) => seconds(reading?.peers[PEER]),
    ),
    ...curves(
      'a token of the answer, ms',
      ({ ours }) => ours.median,
      ({ peers }) => peers.find(({ name }) => name === PEER)?.median ?? Number.NaN,
    ),
  ],
});
writeFileSync(`${root}speed.svg`, svg);
