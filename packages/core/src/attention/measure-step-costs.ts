/**
 * What the dense fallback needs to know: where a step of the sieve would take longer than reading every key, full attention
 * is used. Which is faster depends on the machine, its threads and the heads of a layer, so steps are timed here, on a
 * cache of random keys in several layers, and their times fitted by a constant and rates: for each key of full attention,
 * for each scanned and each sampled key of the sieve, and for each bounded and each read key of a certified step.
 */
import type { Precision } from '../kernels/layout.ts';
import type { PolicySpec } from '../policies/policy.ts';
import type { StepCosts } from '../policies/step-costs.ts';
import { sampleSize } from '../sieve/plan.ts';
import { createAttention } from './attention.ts';

/** The heads, precision and threads that steps are timed for. */
export interface StepShape {
  headDim: number;
  /** Query heads of a layer. */
  heads: number;
  keyValueHeads: number;
  precision: Precision;
  threads: number;
}

/** Keys of the caches that are measured, and budgets. */
const SHORT_CONTEXT = 1024;
const LONG_CONTEXT = 4096;
const SMALL_BUDGET = 64;
const LARGE_BUDGET = 256;
/** Several layers, so that a step does not find in the processor's cache what the last step left there. */
const LAYERS = 8;
const WARM_UP_ROUNDS = 40;
const ROUNDS = 24;
const CERTIFIED_TAIL_MASS = 0.05;
/**
 * Queries of this length have scores with a standard deviation of 3 nats, so that a certificate takes a tenth of the keys;
 * with half of it, 1.5 nats, it takes more than half of them.
 */
const QUERY_SCALE = 9;

const costsByShape = new Map<string, Promise<StepCosts>>();

/** Measures the costs of a layer's step: about a second, once for each shape in a process. */
export function measureStepCosts(shape: StepShape): Promise<StepCosts> {
  const key = JSON.stringify([shape.headDim, shape.heads, shape.keyValueHeads, shape.precision, shape.threads]);
  const cached = costsByShape.get(key);
  if (cached !== undefined) return cached;
  const costs = measure(shape);
  costsByShape.set(key, costs);
  return costs;
}

async function measure(shape: StepShape): Promise<StepCosts> {
  const { headDim, heads, keyValueHeads } = shape;
  await using attention = await createAttention({
    ...shape,
    layers: LAYERS,
    capacity: LONG_CONTEXT,
    encodings: ['bounds', 'int4'],
  });
  const rows = pseudoRandom(LONG_CONTEXT * keyValueHeads * headDim);
  attention.cache.reserve(LONG_CONTEXT);
  for (let layer = 0; layer < LAYERS; layer++) attention.cache.write(layer, 0, rows, rows);
  attention.cache.commit(LONG_CONTEXT);
  const queries = pseudoRandom(heads * headDim).map((x) => QUERY_SCALE * x);

  const flatQueries = queries.map((x) => x / 2);
  const sieve = (budget: number) => ({ policy: 'sieve', budget: `fixed:${budget}` });
  const certified = { policy: 'int8', budget: `mass:${CERTIFIED_TAIL_MASS}` };
  const step =
    (n: number, policy: PolicySpec, rows = queries): Step =>
    (layer) =>
      attention.attend({ layer, position: n - 1, queries: rows, policy }).report.keysExact;
  const [denseShort, denseLong, short, long, large, certifiedShort, certifiedLong, certifiedFlat] = timeSteps([
    step(SHORT_CONTEXT, { policy: 'dense' }),
    step(LONG_CONTEXT, { policy: 'dense' }),
    step(SHORT_CONTEXT, sieve(SMALL_BUDGET)),
    step(LONG_CONTEXT, sieve(SMALL_BUDGET)),
    step(LONG_CONTEXT, sieve(LARGE_BUDGET)),
    step(SHORT_CONTEXT, certified),
    step(LONG_CONTEXT, certified),
    step(LONG_CONTEXT, certified, flatQueries),
  ]) as [Timed, Timed, Timed, Timed, Timed, Timed, Timed, Timed];
  return fitCosts({
    dense: { short: denseShort.time, long: denseLong.time },
    sieve: { short: short.time, long: long.time, large: large.time },
    certified: { short: certifiedShort, long: certifiedLong, flat: certifiedFlat },
  });
}

/** Attends with a layer; returns the keys that all heads together have read. */
type Step = (layer: number) => number;

/** Milliseconds of a step, and the keys that all heads together have read. */
interface Timed {
  time: number;
  reads: number;
}

/**
 * Milliseconds of steps over few keys and over many; `large` are those of the sieve over many with the larger budget, `flat`
 * those of a certified step over many of which it has to read most.
 */
export interface StepTimes {
  dense: { short: number; long: number };
  sieve: { short: number; long: number; large: number };
  certified: { short: Timed; long: Timed; flat: Timed };
}

/** The constants and rates that give these times; none is below 0, whatever else the machine did meanwhile. */
export function fitCosts({ dense, sieve, certified }: StepTimes): StepCosts {
  const rate = (a: number, b: number, steps: number) => (steps > 0 ? Math.max(0, (b - a) / steps) : 0);
  const fitLine = ({ short, long }: { short: number; long: number }) => {
    const perKey = rate(short, long, LONG_CONTEXT - SHORT_CONTEXT);
    return { fixed: Math.max(0, long - perKey * LONG_CONTEXT), perKey };
  };
  const [smallSample, largeSample] = [SMALL_BUDGET, LARGE_BUDGET].map((budget) => sampleSize(budget, LONG_CONTEXT)) as [
    number,
    number,
  ];
  const { perKey } = fitLine(sieve);
  const perSampled = rate(sieve.long, sieve.large, largeSample - smallSample);
  const { short, long, flat } = certified;
  const perRead = rate(long.time, flat.time, flat.reads - long.reads);
  const bounding = ({ time, reads }: Timed) => time - perRead * reads;
  return {
    dense: fitLine(dense),
    sieve: { fixed: Math.max(0, sieve.long - perKey * LONG_CONTEXT - perSampled * smallSample), perKey, perSampled },
    certified: { ...fitLine({ short: bounding(short), long: bounding(long) }), perRead },
  };
}

/**
 * What each kind of step takes. They take turns, each on the next layer, so that other work on the machine does not fall on
 * one kind alone; what it makes slower is left out.
 */
function timeSteps(steps: readonly Step[]): Timed[] {
  const times = steps.map((): number[] => []);
  const reads = steps.map(() => 0);
  let layer = 0;
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    for (const [i, step] of steps.entries()) {
      const started = performance.now();
      reads[i] = step(layer);
      layer = (layer + 1) % LAYERS;
      if (round >= WARM_UP_ROUNDS) times[i]?.push(performance.now() - started);
    }
  }
  return times.map((each, i) => ({
    time: each.sort((a, b) => a - b)[Math.floor(ROUNDS / 4)] as number,
    reads: reads[i] as number,
  }));
}

/** Repeatable numbers from -1 to 1. */
function pseudoRandom(count: number): Float32Array {
  let seed = 1;
  return Float32Array.from({ length: count }, () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return (2 * seed) / 2_147_483_647 - 1;
  });
}
