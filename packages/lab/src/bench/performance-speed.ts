/** Questions of the page on performance that compare a model with other engines. */
import { formatBytes, formatCount, formatShare, formatSpread } from '../format/format.ts';
import type { Spread } from '../numerics/spread.ts';
import type { NumberedReport, Question } from './performance-question.ts';
import type { SpeedReport } from './reports.ts';
import { FIRST_TOKENS, type SpeedResult } from './speed.ts';

type NumberedRun = SpeedResult & { run: number };

const SLOWDOWN = 'slowdown vs ours';

export function promptTable(reports: readonly NumberedReport<SpeedReport>[]): Question {
  return {
    title: 'How long does a prompt take?',
    about: 'Seconds to read all of it, from an empty cache.',
    names: [
      'tokens',
      'engine',
      'seconds',
      SLOWDOWN,
      'CPU seconds',
      'CPU ratio',
      'attention',
      'full attention',
      'cache',
      'run',
    ],
    rows: byContext(reports).flatMap(({ ours, peers, ...result }) =>
      rowsOf(result, [
        [
          ourName(result.prefill),
          seconds(ours),
          '',
          (ours.cpu.median / 1000).toFixed(1),
          '',
          formatShare(ours.timeShares.attention),
          formatShare(ours.fullAttentionShare),
          formatBytes(ours.cacheBytes),
        ],
        ...peers.map((peer) => [
          peer.name,
          seconds(peer),
          formatSpread(peer.ratio, 2),
          (peer.cpu.median / 1000).toFixed(1),
          formatSpread(peer.cpuRatio, 2),
          '',
          '',
          '',
        ]),
      ]),
    ),
    notes: ['"Attention" is its share of the time, "full attention" the share of the heads that read every key.'],
  };
}

export function answerTable(reports: readonly NumberedReport<SpeedReport>[]): Question {
  return {
    title: 'How long does a token of an answer take?',
    about: 'Milliseconds a token, behind a context of that length, when all code has been compiled.',
    names: [
      'context',
      'engine',
      'ms a token',
      SLOWDOWN,
      'CPU ms',
      'CPU ratio',
      'attention',
      'KL to full attention',
      'run',
    ],
    rows: byContext(reports).flatMap(({ ours, peers, kl, ...result }) =>
      rowsOf(result, [
        [
          ourName(result.attention),
          formatSpread(ours, 1),
          '',
          ours.cpu.median.toFixed(1),
          '',
          formatShare(ours.timeShares.attention),
          kl === null ? '' : kl.toPrecision(2),
        ],
        ...peers.map((peer) => [
          peer.name,
          formatSpread(peer, 1),
          formatSpread(peer.ratio, 2),
          peer.cpu.median.toFixed(1),
          formatSpread(peer.cpuRatio, 2),
          '',
          '',
        ]),
      ]),
    ),
    notes: ['KL is the mean over the next tokens, in nats, after a prompt that was read by the same policy.'],
  };
}

export function firstTokensTable(reports: readonly NumberedReport<SpeedReport>[]): Question {
  return {
    title: `How long do the first ${FIRST_TOKENS} tokens of an answer take?`,
    about:
      'Milliseconds a token, while the runtime still compiles what decodes. The engines have read the context once.',
    names: ['context', 'engine', 'ms a token', SLOWDOWN, 'context read in, seconds', 'run'],
    rows: byContext(reports).flatMap(({ first, reading, ...result }) => {
      if (first === null) return [];
      const readIn = (ms: number | undefined) => (ms === undefined ? '' : (ms / 1000).toFixed(1));
      return rowsOf(result, [
        [ourName(result.attention), formatSpread(first.ours, 1), '', readIn(reading?.ours)],
        ...Object.entries(first.peers).map(([name, { ms, ratio }]) => [
          name,
          formatSpread(ms, 1),
          formatSpread(ratio, 2),
          readIn(reading?.peers[name]),
        ]),
      ]);
    }),
  };
}

/** The results of all reports, by the length of the context. */
const byContext = (reports: readonly NumberedReport<SpeedReport>[]): NumberedRun[] =>
  reports.flatMap(({ run, runs }) => runs.map((result) => ({ ...result, run }))).sort((a, b) => a.context - b.context);

const rowsOf = ({ context, run }: { context: number; run: number }, cells: readonly string[][]): string[][] =>
  cells.map((row) => [formatCount(context), ...row, String(run)]);

const ourName = ({ policy, budget }: { policy: string; budget?: string | undefined }): string =>
  budget === undefined ? `keysieve, ${policy}` : `keysieve, ${policy} ${budget}`;

const seconds = ({ median, low, high }: Spread): string =>
  formatSpread({ median: median / 1000, low: low / 1000, high: high / 1000 }, 1);
