/**
 * The time of one step of attention against the number of keys, with full attention and ONNX Runtime's operators in the
 * same run: one key-value head, over random keys in enough layers that, as in a model, no processor cache holds them.
 */
import { FULL_ATTENTION_OPERATORS, type FullAttentionOperator, type FullAttentionOperatorName } from '@keysieve/llm';
import { type Attention, createAttention, type PolicySpec, policyEncodings } from 'keysieve';
import { attendRow, relativeError } from '../numerics/attention.ts';
import { createRandom, normals } from '../numerics/random.ts';
import { ratioOf, type Spread, spreadOf } from '../numerics/spread.ts';
import { fitLine, mean, median } from '../numerics/statistics.ts';
import { type WorkOptions, workOf, yieldToEventLoop } from '../work.ts';
import { processorTime } from './clock.ts';
import { rejectEvictingPolicies } from './evicting-policies.ts';

/** What is timed. */
export interface BenchScalingOptions extends WorkOptions {
  policy: PolicySpec;
  /** Numbers of keys. */
  lengths: readonly number[];
  /** Dimension of a head, a multiple of 8. */
  headDim: number;
  /** Query heads that share the key-value head. */
  group: number;
}

/** Times at every length, and how they grow. */
export interface ScalingResult {
  policy: string;
  budget: string | null;
  headDim: number;
  group: number;
  lengths: LengthResult[];
  /** d ln ms / d ln n from 8,192 keys on, and d ln keys / d ln n of the keys read exactly; null with fewer than two. */
  exponents: { policy: number; f16: number; f32: number; onnx: number; exactKeys: number } | null;
}

/** One step at one number of keys. */
export interface LengthResult {
  n: number;
  /** Processor milliseconds of a step on one thread; `onnx` is the faster of ONNX Runtime's operators. */
  ms: { policy: Spread; f16: Spread; f32: Spread; onnx: Spread };
  operators: Record<FullAttentionOperatorName, Spread>;
  /** Time of full attention over the policy's, round by round. */
  speedup: { f16: Spread; f32: Spread; onnx: Spread };
  /** Mean keys that a head read, and bytes that the step read for each key of the context, with the policy. */
  keysExact: number;
  keysQuantized: number;
  bytesPerKey: number;
  /** ||o' - o|| / ||o|| against float64, mean over the heads: with the policy, and with full attention over f16 and f32. */
  outputError: { policy: number; f16: number; f32: number };
}

/** Standard deviation of the scores, in nats. */
const SPREAD = 2;
/** Values of real heads have a mean; without one, the average of many keys would be close to nothing. */
const VALUE_MEAN = 1;
/** Bytes that are read before a layer's keys are read again. */
const COLD_BYTES = 64 * 2 ** 20;
const MAX_LAYERS = 48;
const WARM_UP = 60;
const ROUNDS = { min: 40, max: 120, keys: 3e6 };
const MIN_FIT_LENGTH = 8192;

/** Times one step at each length. Throws `invalid-argument` for policies that evict keys by the queries of a prompt. */
export async function benchScaling(options: BenchScalingOptions): Promise<ScalingResult> {
  const { policy, lengths, headDim, group } = options;
  const { signal, onProgress } = workOf(options);
  rejectEvictingPolicies([policy]);
  const results: LengthResult[] = [];
  for (const n of lengths) {
    await yieldToEventLoop(signal);
    onProgress('measuring lengths', results.length, lengths.length);
    results.push(await measureLength(n, options));
  }
  onProgress('measuring lengths', lengths.length, lengths.length);
  const longLengths = results.filter(({ n }) => n >= MIN_FIT_LENGTH);
  const slope = (select: (result: LengthResult) => number) =>
    fitLine(
      longLengths.map(({ n }) => Math.log(n)),
      longLengths.map((result) => Math.log(select(result))),
    ).slope;
  return {
    policy: policy.policy,
    budget: policy.budget ?? null,
    headDim,
    group,
    lengths: results,
    exponents:
      longLengths.length < 2
        ? null
        : {
            policy: slope(({ ms }) => ms.policy.median),
            f16: slope(({ ms }) => ms.f16.median),
            f32: slope(({ ms }) => ms.f32.median),
            onnx: slope(({ ms }) => ms.onnx.median),
            exactKeys: slope(({ keysExact }) => keysExact),
          },
  };
}

async function measureLength(
  n: number,
  { policy, headDim, group: groupSize }: BenchScalingOptions,
): Promise<LengthResult> {
  const random = createRandom(n);
  const keys = normals(random, n * headDim);
  const values = normals(random, n * headDim).map((x) => x + VALUE_MEAN);
  const queries = normals(random, groupSize * headDim).map((x) => x * SPREAD);
  const layers = Math.max(2, Math.min(MAX_LAYERS, Math.ceil(COLD_BYTES / (n * 4 * headDim))));
  const shape = { layers, keyValueHeads: 1, heads: groupSize, headDim, capacity: n, threads: 1 };
  await using half = await createAttention({ ...shape, precision: 'f16', encodings: policyEncodings(policy) });
  await using single = await createAttention({ ...shape, precision: 'f32' });
  for (const attention of [half, single]) fill(attention, n, keys, values);

  const operators = await loadOperators(layers, { keyValueHeads: 1, groupSize, headDim, keys, values, threads: 1 });
  const scaled = queries.map((x) => x / Math.sqrt(headDim));

  const step = (attention: Attention, spec: PolicySpec, round: number) => {
    const started = processorTime();
    const result = attention.attend({ layer: round % layers, position: n - 1, queries, policy: spec });
    return { ms: processorTime() - started, ...result };
  };
  const dense = { policy: 'dense' };
  const sides = {
    policy: (round: number) => step(half, policy, round),
    f16: (round: number) => step(half, dense, round),
    f32: (round: number) => step(single, dense, round),
  };
  const names = ['policy', 'f16', 'f32'] as const;
  const times: Record<(typeof names)[number], number[]> = { policy: [], f16: [], f32: [] };
  const rounds = Math.max(ROUNDS.min, Math.min(ROUNDS.max, Math.floor(ROUNDS.keys / n)));
  for (let round = 0; round < WARM_UP; round++) sides.policy(round);
  for (let round = 0; round < rounds; round++) {
    for (const name of names) times[name].push(sides[name](round).ms);
    for (const { ofLayers, ms } of operators) {
      const started = processorTime();
      await ofLayers[round % layers]?.attend(scaled);
      ms.push(processorTime() - started);
    }
    // What ONNX Runtime leaves behind is freed in whatever comes next (8 ms for 131,072 keys): in none that is timed.
    sides.policy(round + 1);
  }
  for (const { ofLayers } of operators) for (const operator of ofLayers) await operator.release();
  const timesOfOperators = operators.map(({ name, ms }) => [name, spreadOf(ms)] as const);
  const [fastest] = [...operators].sort((a, b) => median(a.ms) - median(b.ms)) as [Timed];
  const truth = Array.from({ length: groupSize }, (_, row) =>
    attendRow(queries.subarray(row * headDim, (row + 1) * headDim), keys, values, n),
  );
  const error = (outputs: Float32Array) =>
    mean(truth.map(({ output }, row) => relativeError(outputs.subarray(row * headDim, (row + 1) * headDim), output)));
  const { outputs, report } = sides.policy(0);
  const speedup = (theirs: readonly number[]) => ratioOf(theirs, times.policy);
  return {
    n,
    ms: {
      policy: spreadOf(times.policy),
      f16: spreadOf(times.f16),
      f32: spreadOf(times.f32),
      onnx: spreadOf(fastest.ms),
    },
    operators: Object.fromEntries(timesOfOperators) as LengthResult['operators'],
    speedup: { f16: speedup(times.f16), f32: speedup(times.f32), onnx: speedup(fastest.ms) },
    keysExact: report.keysExact / report.rows,
    keysQuantized: report.keysQuantized / report.rows,
    bytesPerKey: report.bytesRead / n,
    outputError: {
      policy: error(outputs),
      f16: error(sides.f16(0).outputs),
      f32: error(sides.f32(0).outputs),
    },
  };
}

/** One of ONNX Runtime's operators: an instance a layer, each with its own copy of the numbers, and the times of its steps. */
interface Timed {
  name: FullAttentionOperatorName;
  ofLayers: FullAttentionOperator[];
  ms: number[];
}

async function loadOperators(
  layers: number,
  { keys, values, ...sizes }: Parameters<(typeof FULL_ATTENTION_OPERATORS)[FullAttentionOperatorName]>[0],
): Promise<Timed[]> {
  const timed: Timed[] = [];
  for (const name of Object.keys(FULL_ATTENTION_OPERATORS) as FullAttentionOperatorName[]) {
    const ofLayers: FullAttentionOperator[] = [];
    for (let layer = 0; layer < layers; layer++) {
      ofLayers.push(await FULL_ATTENTION_OPERATORS[name]({ ...sizes, keys: keys.slice(), values: values.slice() }));
    }
    timed.push({ name, ofLayers, ms: [] });
  }
  return timed;
}

function fill({ cache }: Attention, n: number, keys: Float32Array, values: Float32Array): void {
  cache.reserve(n);
  for (let layer = 0; layer < cache.shape.layers; layer++) cache.write(layer, 0, keys, values);
  cache.commit(n);
}
