/**
 * What policies take on captured heads, by the processor's time on one thread, against full attention in a cache of its
 * own. Rounds go over all heads, so that a head's keys have mostly left the processor's caches when it is asked again, as
 * they have in a model, where other layers come between; on a head, full attention and the policies take their turns.
 */
import type { Attention, PolicySpec } from 'keysieve';
import { ratioOf, type Spread } from '../numerics/spread.ts';
import { yieldToEventLoop } from '../work.ts';
import { processorTime } from './clock.ts';

/** Time of full attention over that of a policy, of every head in every round. */
export interface Speedup {
  f32: Spread;
  f16: Spread;
  /** Of all heads together, against full attention in f16: heads that need most of their keys weigh as much as others. */
  allHeadsF16: Spread;
}

/** Queries of a head at one position. */
export interface TimedStep {
  position: number;
  /** (group, d) */
  queries: Float32Array;
}

/** A head with its keys in three caches: as the policies need them, and for full attention. */
export interface TimedHead {
  steps: readonly TimedStep[];
  kept: Attention;
  f16: Attention;
  f32: Attention;
}

/** Heads whose caches are held at once, at most: evenly spaced among those that were captured. */
export const MAX_TIMED_HEADS = 8;
/** The first calls run code that is not optimized yet. */
const WARM_UP_CALLS = 150;
const ROUNDS = 25;

const DENSE: PolicySpec = { policy: 'dense' };

/** Times every policy on the heads. */
export async function timePolicies(
  heads: readonly TimedHead[],
  policies: readonly PolicySpec[],
  signal: AbortSignal,
): Promise<Speedup[]> {
  const runs = [
    ...(['f16', 'f32'] as const).map((cache) => ({ cache, policy: DENSE })),
    ...policies.map((policy) => ({ cache: 'kept' as const, policy })),
  ];
  const warmUp = Math.ceil(WARM_UP_CALLS / heads.length);
  const times = runs.map((): number[] => []);
  for (let round = 0; round < warmUp + ROUNDS; round++) {
    await yieldToEventLoop(signal);
    for (const timed of heads) {
      const { position, queries } = timed.steps[round % timed.steps.length] as TimedStep;
      for (const [i, { cache, policy }] of runs.entries()) {
        const started = processorTime();
        timed[cache].attend({ layer: 0, position, queries, policy });
        if (round >= warmUp) times[i]?.push(processorTime() - started);
      }
    }
  }
  const [f16, f32, ...ours] = times as [number[], number[], ...number[][]];
  return ours.map((time) => ({
    f16: ratioOf(f16, time),
    f32: ratioOf(f32, time),
    allHeadsF16: ratioOf(sumsOf(f16, heads.length), sumsOf(time, heads.length)),
  }));
}

/** Sums of every `count` numbers. */
const sumsOf = (numbers: readonly number[], count: number): number[] =>
  Array.from({ length: numbers.length / count }, (_, i) =>
    numbers.slice(i * count, (i + 1) * count).reduce((a, b) => a + b, 0),
  );

/** Of many heads some, evenly spaced. */
export const timedHeads = <Head>(heads: readonly Head[]): Head[] =>
  heads.filter((_, i) => heads.length <= MAX_TIMED_HEADS || i % Math.ceil(heads.length / MAX_TIMED_HEADS) === 0);
