/**
 * The time of a model with our attention against that of a peer, on the same tokens. The two sides take turns in one
 * process; what counts are the ratios of their times for the same work. The divergence of our predictions from those of
 * full attention is measured on the same tokens, after the same context.
 */
import type { Evaluation, Model, Session } from '@keysieve/llm';
import { type AttentionReport, addReport, emptyReport, type PolicySpec } from 'keysieve';
import { klDivergence, logSoftmax } from '../numerics/softmax.ts';
import { ratioOf, type Spread, spreadOf } from '../numerics/spread.ts';
import { mean } from '../numerics/statistics.ts';
import { type Work, type WorkOptions, workOf } from '../work.ts';
import { startClock, type Time } from './clock.ts';
import type { Peer } from './peer.ts';

/** What is timed. */
export interface BenchSpeedOptions extends WorkOptions {
  model: Model;
  /** Other engines by name, loaded with room for the context and the steps. */
  peers: ReadonlyMap<string, Peer>;
  /** Tokens of the text: the context, then one for each decoded token, and one more. */
  tokens: Int32Array;
  /** Tokens of the context. */
  context: number;
  /** Policies that decode, and that read the context. */
  attention: PolicySpec;
  prefill: PolicySpec;
  /** Tokens after the context: timed by `benchDecode` after the first ones, compared with full attention by both. */
  steps: number;
  /** Times that `benchPrefill` reads the context. */
  rounds: number;
  /** Whether predictions are compared with full attention, which then has to read the context as well. */
  divergence: boolean;
}

/** Times of both sides after one context. */
export interface SpeedResult {
  context: number;
  attention: PolicySpec;
  prefill: PolicySpec;
  /** Milliseconds of a token (decode) or of the whole context (prefill). */
  ours: OurTimes;
  peers: PeerTimes[];
  /** Milliseconds in which each side read the context, once, before decoding. Null for prefill. */
  reading: { ours: number; peers: Record<string, number> } | null;
  /** Milliseconds of one of the first tokens after the context, while the runtime still compiles. Null for prefill. */
  first: FirstTimes | null;
  /** Mean KL divergence from full attention over the tokens after the context, in nats; null if not requested. */
  kl: number | null;
}

/** Our side: milliseconds, and what they bought. */
export interface OurTimes extends Spread {
  /** Processor milliseconds of all threads, which other work on the machine disturbs less. */
  cpu: Spread;
  /** Shares of the time: attention, with the cache and the waiting for threads, and the rest of the model. */
  timeShares: { attention: number; rest: number };
  /** Mean keys that a head read exactly and quantized, and share of the heads with full attention. */
  keysExact: number;
  keysQuantized: number;
  fullAttentionShare: number;
  bytesPerToken: number;
  /** Bytes of the cache and of the attention's buffers. */
  cacheBytes: number;
}

/** Milliseconds of each of the first tokens. */
export interface FirstTimes {
  tokens: number;
  ours: Spread;
  peers: Record<string, { ms: Spread; ratio: Spread }>;
}

/** A peer: milliseconds, and ratios. */
export interface PeerTimes extends Spread {
  name: string;
  cpu: Spread;
  /** Its time over ours, round by round, by the clock and of the processor: above 1, ours is faster. */
  ratio: Spread;
  cpuRatio: Spread;
}

type Timed = BenchSpeedOptions & Work;

/** Tokens after the context that `benchDecode` times separately. */
export const FIRST_TOKENS = 64;
/**
 * Tokens that a side decodes in its turn. For the first two or three of a turn the operating system still moves threads
 * to the cores that the other side's had, which does not happen while an answer is decoded.
 */
const TURN = 32;
const WARM_UP_TOKENS = 256;
const READ_TOKENS = 512;
const DENSE: PolicySpec = { policy: 'dense' };

/** Times the reading of the context, round by round. */
export async function benchPrefill(speedOptions: BenchSpeedOptions): Promise<SpeedResult> {
  const options = { ...speedOptions, ...workOf(speedOptions) };
  const { model, peers, context, attention, prefill, steps, rounds, onProgress } = options;
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
  const kl = await divergenceOf(options, session, steps);
  return { ...resultOf(options, ours, theirs, context, session), reading: null, first: null, kl };
}

/** Times decoding after the context, token by token. */
export async function benchDecode(speedOptions: BenchSpeedOptions): Promise<SpeedResult> {
  const options = { ...speedOptions, ...workOf(speedOptions) };
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
  const count = FIRST_TOKENS + steps;
  const next = options.tokens.subarray(context, context + count);
  const passes = session.evaluate(next, { attention, chunkTokens: 1, signal });
  const logits: Float32Array[] = [];
  /** Decodes the tokens of [from, to), the sides in turns. */
  const decode = async (from: number, to: number) => {
    const ours = createTally();
    const theirs = createTimes(peers.keys());
    for (let first = from; first < to; first += TURN) {
      onProgress('decoding', first, count);
      const turn = next.subarray(first, Math.min(to, first + TURN));
      for (const _ of turn) {
        const clock = startClock();
        const { value } = (await passes.next()) as IteratorYieldResult<Evaluation>;
        ours.add(clock(), value.attentionMs, value.attention);
        logits.push(value.logits);
      }
      for (const [name, peer] of peers) {
        for (const token of turn) {
          theirs.get(name)?.push(await timeOfPeer(async () => (await peer.decode([token]))[0] as number));
        }
      }
    }
    return { ours, theirs };
  };
  const first = firstTimes(await decode(0, FIRST_TOKENS));
  const { ours, theirs } = await decode(FIRST_TOKENS, count);
  onProgress('decoding', count, count);
  await passes.return();
  const kl = await divergenceOf(options, session, count, logits);
  return { ...resultOf(options, ours, theirs, 1, session), reading, first, kl };
}

function firstTimes({ ours, theirs }: { ours: Tally; theirs: ReadonlyMap<string, readonly Time[]> }): FirstTimes {
  const wall = wallOf(ours.times);
  const timesOf = (peer: readonly Time[]) => ({ ms: spreadOf(wallOf(peer)), ratio: ratioOf(wallOf(peer), wall) });
  const peers = Object.fromEntries([...theirs].map(([name, times]) => [name, timesOf(times)]));
  return { tokens: wall.length, ours: spreadOf(wall), peers };
}

const wallOf = (times: readonly Time[]): number[] => times.map(({ wall }) => wall);

/** The time of a peer, which measures its own milliseconds. */
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
  { prefill, signal, onProgress }: Timed,
  session: Session,
  tokens: Int32Array,
): Promise<{ time: Time; attentionMs: number; report: AttentionReport }> {
  const options = { attention: prefill, chunkTokens: READ_TOKENS, shareSamples: true, signal };
  const report = emptyReport();
  let attentionMs = 0;
  const clock = startClock();
  // Only the last token needs logits, as in a prompt.
  const prefixLength = tokens.length - 1;
  for await (const pass of session.evaluate(tokens.subarray(0, prefixLength), { ...options, logits: false })) {
    attentionMs += pass.attentionMs;
    addReport(report, pass.attention);
    onProgress('reading', Math.min(prefixLength, pass.position + READ_TOKENS), prefixLength);
  }
  for await (const pass of session.evaluate(tokens.subarray(prefixLength), options)) attentionMs += pass.attentionMs;
  return { time: clock(), attentionMs, report };
}

/** Mean divergence of the predictions of `count` tokens after the context from those of full attention. */
async function divergenceOf(
  options: Timed,
  session: Session,
  count: number,
  knownLogits: readonly Float32Array[] = [],
): Promise<number | null> {
  const { model, tokens, context, attention, signal, divergence } = options;
  if (!divergence) return null;
  const next = tokens.subarray(context, context + count);
  const ourLogits = knownLogits.length > 0 ? knownLogits : await predictions(session, next, attention, signal);
  await using denseSession = await model.createSession({ attention: { policy: 'dense' } });
  const reading = { ...options, prefill: DENSE };
  await readTokens(reading, denseSession, tokens.subarray(0, context));
  const truth = await predictions(denseSession, next, DENSE, signal);
  return mean(ourLogits.map((logits, i) => klDivergence(logSoftmax(truth[i] as Float32Array), logSoftmax(logits))));
}

async function predictions(
  session: Session,
  tokens: Int32Array,
  attention: PolicySpec,
  signal: AbortSignal,
): Promise<Float32Array[]> {
  const logitRows: Float32Array[] = [];
  for await (const { logits } of session.evaluate(tokens, { attention, chunkTokens: 1, signal }))
    logitRows.push(logits);
  return logitRows;
}

function resultOf(
  { context, attention, prefill }: BenchSpeedOptions,
  { times, attentionMs, report }: Tally,
  theirs: ReadonlyMap<string, readonly Time[]>,
  tokensPerRound: number,
  session: Session,
): Omit<SpeedResult, 'reading' | 'first' | 'kl'> {
  const total = times.reduce((sum, { wall }) => sum + wall, 0);
  const [wall, cpu] = [wallOf(times), times.map((time) => time.cpu)];
  const rows = Math.max(1, report.rows);
  const share = attentionMs / total;
  return {
    context,
    attention,
    prefill,
    ours: {
      ...spreadOf(wall),
      cpu: spreadOf(cpu),
      timeShares: { attention: share, rest: 1 - share },
      keysExact: report.keysExact / rows,
      keysQuantized: report.keysQuantized / rows,
      fullAttentionShare: report.rowsFull / rows,
      bytesPerToken: report.bytesRead / (times.length * tokensPerRound),
      cacheBytes: session.memory.own + session.memory.buffers,
    },
    peers: [...theirs].map(([name, peerTimes]) => {
      const [theirWall, theirCpu] = [wallOf(peerTimes), peerTimes.map((time) => time.cpu)];
      const ratios = { ratio: ratioOf(theirWall, wall), cpuRatio: ratioOf(theirCpu, cpu) };
      return { name, ...spreadOf(theirWall), cpu: spreadOf(theirCpu), ...ratios };
    }),
  };
}
