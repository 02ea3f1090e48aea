/** What `keysieve bench decode` and `prefill` have found, as the cells of a table: for a terminal, and for a page. */

import { formatBytes, formatCount, formatShare, formatSpread } from '../format/format.ts';
import type { SpeedReport } from './reports.ts';
import { FIRST_TOKENS, type FirstTimes, type OurTimes, type SpeedResult } from './speed.ts';

/** How the cells of a table of times are written. */
export interface SpeedTableForm {
  /** What stands between a policy and its budget. */
  separator: string;
  /** The column of what the time goes to: its name, and what it says. */
  timeShares: { name: string; of(timeShares: OurTimes['timeShares']): string };
}

/** Names and cells of a table of times. */
export interface SpeedTable {
  names: string[];
  /** Ours of each context, and below it those of its peers. */
  rows: string[][];
}

export function speedTable({ bench, runs }: Pick<SpeedReport, 'bench' | 'runs'>, form: SpeedTableForm): SpeedTable {
  const unit = bench === 'decode' ? 'ms a token' : 'ms';
  const names = [
    'context',
    'engine',
    unit,
    'slowdown vs ours',
    'CPU ms',
    'CPU ratio',
    form.timeShares.name,
    'heads dense',
    'KL to dense',
    'cache',
    ...(bench === 'decode' ? [`first ${FIRST_TOKENS} tokens, ms each`, 'its / ours', 'context read once in, ms'] : []),
  ];
  return { names, rows: runs.flatMap((run) => rowsOf(run, form)) };
}

function rowsOf(
  { context, attention, ours, peers, reading, first, kl }: SpeedResult,
  form: SpeedTableForm,
): string[][] {
  const { policy, budget } = attention;
  const ourCells = [
    budget === undefined ? policy : `${policy}${form.separator}${budget}`,
    formatSpread(ours, 1),
    '',
    ours.cpu.median.toFixed(1),
    '',
    form.timeShares.of(ours.timeShares),
    formatShare(ours.fullAttentionShare),
    kl === null ? '' : kl.toPrecision(2),
    formatBytes(ours.cacheBytes),
    ...(first === null ? [] : [formatSpread(first.ours, 1), '']),
    ...(reading === null ? [] : [formatCount(reading.ours)]),
  ];
  const peerCells = peers.map((peer) => [
    peer.name,
    formatSpread(peer, 1),
    formatSpread(peer.ratio, 2),
    peer.cpu.median.toFixed(1),
    formatSpread(peer.cpuRatio, 2),
    '',
    '',
    '',
    '',
    ...(first === null ? [] : firstOf(peer.name, first)),
    ...(reading === null ? [] : [readingOf(peer.name, reading)]),
  ]);
  return [ourCells, ...peerCells].map((cells) => [formatCount(context), ...cells]);
}

function firstOf(peer: string, { peers }: FirstTimes): string[] {
  const peerFirst = peers[peer];
  return peerFirst === undefined ? ['', ''] : [formatSpread(peerFirst.ms, 1), formatSpread(peerFirst.ratio, 2)];
}

/** How long a peer took to read the context, and how many times as long as we did that is. */
function readingOf(peer: string, { ours, peers }: NonNullable<SpeedResult['reading']>): string {
  const ms = peers[peer] as number;
  return `${formatCount(ms)} (${(ms / ours).toFixed(2)} x ours)`;
}
