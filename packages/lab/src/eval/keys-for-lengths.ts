/** The keys that a divergence takes at several lengths of one text, with fixed budgets and with a law. */
import type { Model, Session } from '@keysieve/llm';
import { type LawFile, type PolicySpec, planBudget } from 'keysieve';
import { formatCount } from '../format/format.ts';
import { mean } from '../numerics/statistics.ts';
import { policyKey, type SavedResults } from '../results/saved-results.ts';
import { costOfFixed, findKeys, fitGrowth, fitSufficientPower, type KeysByLength } from './keys-for.ts';
import {
  type ComparedText,
  contextOf,
  measurePolicy,
  predictWithFullAttention,
  type Reference,
} from './predictions.ts';
import { readContext } from './reading.ts';

/** What zenodo 20582700 claims: this number of keys, at any length, keeps this share of the likeliest tokens. */
const CLAIMED = { keys: 352, top1: 0.99 } as const;

/** The fewest keys that are tried. */
const MIN_KEYS = 16;

export interface KeysForOptions {
  model: Pick<Model, 'config'>;
  session: Session;
  /** The tokens of the longest length. */
  tokens: Int32Array;
  /** Tokens at the end that are compared, the same at every length. */
  evalTokens: number;
  /** Ascending. */
  lengths: readonly number[];
  policy: string;
  /** The KL divergence from full attention that is tolerated, in nats. */
  maxKl: number;
  law?: LawFile;
  saved: SavedResults;
  signal: AbortSignal;
  onProgress(what: string, done: number, total: number): void;
}

/** Keys at each length. */
export interface KeysForLengths {
  policy: string;
  /** The KL divergence from full attention that is tolerated, in nats: mean over the last tokens. */
  kl: number;
  evalTokens: number;
  lengths: number[];
  /** The fewest keys a head that are enough at each length. */
  fixed: KeysByLength;
  /** One alpha n^C for all heads, fitted to `fixed` and enough at every length. */
  power: KeysByLength & { alpha: number };
  /** The fewest mean keys a head, divided over the heads by the law; null without one. */
  law: KeysByLength | null;
  /** Keys of one fixed budget that is enough at every length, and their ratio to the mean keys of the others. */
  cost: { fixed: number; overPower: number; overLaw: number | null };
  /** Agreement on the likeliest token at each length, with the keys that are claimed to keep it at any length. */
  constantSupport: { keys: number; top1: number; policies: { policy: string; top1: number[]; holds: boolean }[] };
}

/** The cost of one policy at one length. */
interface Cost {
  kl: number;
  top1: number;
}

/** Searches at every length. */
export async function measureKeysFor(options: KeysForOptions): Promise<KeysForLengths> {
  const { lengths, policy, maxKl, law, evalTokens } = options;
  const [fixed, byLaw]: [number[], number[]] = [[], []];
  const claimed = [...new Set(['topk', policy])].map((name) => ({ policy: name, top1: [] as number[] }));
  for (const n of lengths) {
    const costOf = createCostMeasure(options, n);
    const search = (guess: number | undefined) => ({ maxKl: maxKl, min: MIN_KEYS, max: n, guess: guess ?? n / 4 });
    const needed = async (spec: (keys: number) => PolicySpec, guess: number | undefined) =>
      findKeys(async (keys) => (await costOf(spec(keys))).kl, search(guess));
    fixed.push(await needed((keys) => ({ policy, budget: `fixed:${keys}` }), fixed.at(-1)));
    if (law !== undefined) {
      const dividedByLaw = (keys: number): PolicySpec => ({ policy, ...planBudget(law, `mean:${keys}`) });
      byLaw.push(await needed(dividedByLaw, fixed.at(-1)));
    }
    for (const entry of claimed) {
      entry.top1.push((await costOf({ policy: entry.policy, budget: `fixed:${CLAIMED.keys}` })).top1);
    }
  }
  const power = fitSufficientPower(lengths, fixed);
  return {
    policy,
    kl: maxKl,
    evalTokens,
    lengths: [...lengths],
    fixed: fitGrowth(lengths, fixed),
    power,
    law: law === undefined ? null : fitGrowth(lengths, byLaw),
    cost: {
      fixed: Math.max(...fixed),
      overPower: costOfFixed(fixed, power.keys),
      overLaw: law === undefined ? null : costOfFixed(fixed, byLaw),
    },
    constantSupport: {
      ...CLAIMED,
      policies: claimed.map((each) => ({ ...each, holds: each.top1.every((share) => share >= CLAIMED.top1) })),
    },
  };
}

/** Returns a function that gives the cost of a policy at one length: as saved, or measured over one reading of the context. */
function createCostMeasure({ saved, policy, lengths: _, ...options }: KeysForOptions, n: number) {
  const policies: PolicySpec[] = [{ policy }, { policy: 'topk' }];
  const onProgress: KeysForOptions['onProgress'] = (what, done, total) =>
    options.onProgress(`${formatCount(n)} tokens, ${what}`, done, total);
  const text: ComparedText = { ...options, tokens: options.tokens.subarray(-n), auditTokens: 0, policies, onProgress };
  let reference: Reference | undefined;

  async function readReference(): Promise<Reference> {
    const { session, signal } = options;
    const onRead = (done: number, total: number) => onProgress('reading', done, total);
    const reading = { session, attention: { policy: 'dense' }, policies, signal, onRead };
    await readContext(reading, text.tokens.subarray(0, contextOf(text)));
    return predictWithFullAttention(text);
  }

  return async (spec: PolicySpec): Promise<Cost> => {
    const key = { keysFor: policyKey(spec), n };
    const cached = saved.find<Cost>(key);
    if (cached !== undefined) return cached;
    reference ??= await readReference();
    const { kl, agrees } = await measurePolicy(text, spec, reference);
    const cost = { kl: mean(kl), top1: mean(agrees.map((same) => (same ? 1 : 0))) };
    await saved.keep(key, cost);
    return cost;
  };
}
