/**
 * Time of a model with our attention against that of a peer, on the same tokens. The two sides take turns in one
 * process, and what counts are the ratios of their times for the same work. How far our predictions are from those of
 * dense attention is measured on the same tokens, behind the same context.
 */
import type { Evaluation, Model, Session } from '@keysieve/llm';
import { type AttentionReport, addReport, emptyReport, type PolicySpec } from 'keysieve';
import { klDivergence, logProbabilities, mean } from '../eval/divergence.ts';
import { startClock, type Time } from './clock.ts';
import type { Peer } from './peer.ts';
import { ratioOf, type Spread, spreadOf } from './spread.ts';

export interface SpeedOptions {
  model: Model;
  /** Other engines by their names; all have room for the context and the steps. */
  peers: ReadonlyMap<string, Peer>;
  /** The text: those of the context, and then one for each step and one more. */
  tokens: Int32Array;
  /** Tokens of the context. */
  context: number;
  /** How decoding attends, and how the context is read. */
  attention: PolicySpec;
  prefill: PolicySpec;
  /** Tokens that are decoded: timed by `benchDecode`, compared with dense attention by both. */
  steps: number;
  /** Times that the context is read. */
  rounds: number;
  /** Whether predictions are compared with dense attention, which must read the context then. */
  divergence: boolean;
  signal: AbortSignal;
  onProgress(what: string, done: number, total: number): void;
}

export interface SpeedResult {
  context: number;
  attention: PolicySpec;
  prefill: PolicySpec;
  /** Milliseconds: of a token (decode), of the whole context (prefill). */
  ours: OurTimes;
  peers: PeerTimes[];
  /** Decoding has read the context first, once: milliseconds of each side. */
  reading: { ours: number; peers: Record<string, number> } | null;
  /** Mean divergence from dense attention over the tokens behind the context, in nats; null where it was not asked for. */
  kl: number | null;
}

export interface OurTimes extends Spread {
  /** Processor milliseconds of all threads: other work on the machine disturbs them less. */
  cpu: Spread;
  /** Shares of the time: attention, the cache and waiting for threads included; and the rest of the model. */
  shares: { attention: number; dense: number };
  /** Mean keys that a head read exactly and by codes, and share of the heads that were attended densely. */
  keysRead: number;
  keysCoded: number;
  denseShare: number;
  bytesPerToken: number;
  /** Memory of the cache and the attention's buffers. */
  cacheBytes: number;
}

export interface PeerTimes extends Spread {
  name: string;
  cpu: Spread;
  /** Of its time to ours, round by round: above 1, ours is faster. The same of processor times. */
  ratio: Spread;
  cpuRatio: Spread;
}

/** Steps at the beginning of a benchmark that only warm up. */
const WARM_UP = 4;
/** Tokens that a side decodes before it is another's turn: whoever decodes finds its weights in the caches but at first. */
const TURN = 8;
const WARM_UP_TOKENS = 256;
const READ_TOKENS = 512;
const DENSE: PolicySpec = { policy: 'dense' };

/** Reading the context, round by round. */
export async function benchPrefill(options: SpeedOptions): Promise<SpeedResult> {
  const { model, peers, context, attention, prefill, rounds, onProgress } = options;
  const tokens = options.tokens.subarray(0, context);
  await using session = await model.createSession({ attention, prefill });
  const ours = createTally();
  const theirs = createTimes(peers.keys());
  const warmUp = tokens.subarray(0, WARM_UP_TOKENS);
  await readTokens(options, session, warmUp);
  for (const peer of peers.values()) await peer.prefill([...warmUp]);
  for (let round = 0; round < rounds; round++) {
    onProgress('reading', round, rounds);
    session.truncate(0);
    const { time, attentionMs, report } = await readTokens(options, session, tokens);
    ours.add(time, attentionMs, report);
    for (const [name, peer] of peers) {
      theirs.get(name)?.push(await timeOfPeer(() => peer.prefill([...tokens])));
    }
  }
  onProgress('reading', rounds, rounds);
  const kl = await divergenceOf(options, session);
  return { ...resultOf(options, ours, theirs, context, session), reading: null, kl };
}

/** Decoding behind the context, token by token. */
export async function benchDecode(options: SpeedOptions): Promise<SpeedResult> {
  const { model, peers, context, steps, attention, prefill, signal, onProgress } = options;
  await using session = await model.createSession({ attention, prefill });
  const tokens = options.tokens.subarray(0, context);
  const { time: read } = await readTokens(options, session, tokens);
  const reading: SpeedResult['reading'] = { ours: read.wall, peers: {} };
  for (const [name, peer] of peers) {
    onProgress(`reading with ${name}`, 0, 1);
    reading.peers[name] = await peer.prefill([...tokens]);
    onProgress(`reading with ${name}`, 1, 1);
  }
  const ours = createTally();
  const theirs = createTimes(peers.keys());
  const next = options.tokens.subarray(context, context + steps);
  const passes = session.evaluate(next, { attention, chunkTokens: 1, signal });
  const logits: Float32Array[] = [];
  for (let from = 0; from < steps; from += TURN) {
    onProgress('decoding', from, steps);
    const turn = next.subarray(from, from + TURN);
    for (const [i] of turn.entries()) {
      const clock = startClock();
      const { value } = (await passes.next()) as IteratorYieldResult<Evaluation>;
      const time = clock();
      logits.push(value.logits);
      if (from + i >= WARM_UP) ours.add(time, value.attentionMs, value.attention);
    }
    for (const [name, peer] of peers) {
      for (const [i, token] of turn.entries()) {
        const time = await timeOfPeer(async () => (await peer.decode([token]))[0] as number);
        if (from + i >= WARM_UP) theirs.get(name)?.push(time);
      }
    }
  }
  onProgress('decoding', steps, steps);
  await passes.return();
  const kl = await divergenceOf(options, session, logits);
  return { ...resultOf(options, ours, theirs, 1, session), reading, kl };
}

/** Time of a peer, which tells by itself how long it worked. */
async function timeOfPeer(work: () => Promise<number>): Promise<Time> {
  const clock = startClock();
  const wall = await work();
  return { wall, cpu: clock().cpu };
}

const createTimes = (names: Iterable<string>): Map<string, Time[]> => new Map([...names].map((name) => [name, []]));

interface Tally {
  times: Time[];
  attentionMs: number;
  report: AttentionReport;
  add(time: Time, attentionMs: number, report: AttentionReport): void;
}

function createTally(): Tally {
  const times: Time[] = [];
  return {
    times,
    attentionMs: 0,
    report: emptyReport(),
    add(time, attentionMs, report) {
      times.push(time);
      this.attentionMs += attentionMs;
      addReport(this.report, report);
    },
  };
}

/** Reads tokens as a prompt is read. */
async function readTokens(
  { prefill, signal, onProgress }: SpeedOptions,
  session: Session,
  tokens: Int32Array,
): Promise<{ time: Time; attentionMs: number; report: AttentionReport }> {
  const options = { attention: prefill, chunkTokens: READ_TOKENS, sharing: true, signal };
  const report = emptyReport();
  let attentionMs = 0;
  const clock = startClock();
  // The logits of the last token alone are wanted, as of a prompt.
  const before = tokens.length - 1;
  for await (const pass of session.evaluate(tokens.subarray(0, before), { ...options, logits: false })) {
    attentionMs += pass.attentionMs;
    addReport(report, pass.attention);
    onProgress('reading', Math.min(before, pass.position + READ_TOKENS), before);
  }
  for await (const pass of session.evaluate(tokens.subarray(before), options)) attentionMs += pass.attentionMs;
  return { time: clock(), attentionMs, report };
}

/** How far the predictions behind the context are from those of dense attention that has read it densely. */
async function divergenceOf(
  options: SpeedOptions,
  session: Session,
  known: readonly Float32Array[] = [],
): Promise<number | null> {
  const { model, tokens, context, steps, attention, signal, divergence } = options;
  if (!divergence) return null;
  const next = tokens.subarray(context, context + steps);
  const found = known.length > 0 ? known : await predictions(session, next, attention, signal);
  await using dense = await model.createSession();
  const reading = { ...options, prefill: DENSE };
  await readTokens(reading, dense, tokens.subarray(0, context));
  const truth = await predictions(dense, next, DENSE, signal);
  return mean(
    found.map((logits, i) => klDivergence(logProbabilities(truth[i] as Float32Array), logProbabilities(logits))),
  );
}

async function predictions(
  session: Session,
  tokens: Int32Array,
  attention: PolicySpec,
  signal: AbortSignal,
): Promise<Float32Array[]> {
  const found: Float32Array[] = [];
  for await (const { logits } of session.evaluate(tokens, { attention, chunkTokens: 1, signal })) found.push(logits);
  return found;
}

function resultOf(
  { context, attention, prefill }: SpeedOptions,
  { times, attentionMs, report }: Tally,
  theirs: ReadonlyMap<string, readonly Time[]>,
  tokensARound: number,
  session: Session,
): Omit<SpeedResult, 'reading' | 'kl'> {
  const total = times.reduce((sum, { wall }) => sum + wall, 0);
  const [wall, cpu] = [times.map((time) => time.wall), times.map((time) => time.cpu)];
  const rows = Math.max(1, report.rows);
  const share = attentionMs / total;
  return {
    context,
    attention,
    prefill,
    ours: {
      ...spreadOf(wall),
      cpu: spreadOf(cpu),
      shares: { attention: share, dense: 1 - share },
      keysRead: report.keysRead / rows,
      keysCoded: report.keysCoded / rows,
      denseShare: report.rowsDense / rows,
      bytesPerToken: report.bytesRead / (times.length * tokensARound),
      cacheBytes: session.cacheBytes,
    },
    peers: [...theirs].map(([name, all]) => {
      const [theirWall, theirCpu] = [all.map((time) => time.wall), all.map((time) => time.cpu)];
      const ratios = { ratio: ratioOf(theirWall, wall), cpuRatio: ratioOf(theirCpu, cpu) };
      return { name, ...spreadOf(theirWall), cpu: spreadOf(theirCpu), ...ratios };
    }),
  };
}
