/**
 * What `keysieve measure` finds out about a model, as it is kept in law.json: how many keys the heads need as the context
 * grows, for three things that are never mixed up.
 *
 * - `mass`: the keys with the largest scores leave at most a share eps of the softmax unread.
 * - `dropped`: reading them, and nothing of the others, is off by at most eps (relative error of a head's output).
 * - `returned`: what a policy returns, its estimate of the tail included, is off by at most eps. Of heads it is that of
 *   `topk-means`: the best keys by score, with page means for the others. Of groups it is that of the policy that was
 *   measured, the sieve: the query heads of a group share its sample, so they have one law together.
 *
 * Arrays over lengths run along `lengths`, those over shares along `shares`, and so on. Errors are relative root mean
 * squares, ||o' - o|| / ||o||, over the sampled queries.
 */

export const LAW_FORMAT = 'keysieve-law';
/** Raised when a file of before can no longer be read as one of now. */
export const LAW_VERSION = 1;

/** What keys are needed for. */
export const CRITERIA = ['mass', 'errorWithoutTail', 'errorWithTail'] as const;
export type Criterion = (typeof CRITERIA)[number];

/** The shapes that the growth of the keys with n can have. */
export const LAW_SHAPES = ['constant', 'power', 'linear', 'saturating'] as const;
export type LawShape = (typeof LAW_SHAPES)[number];

/** Numbers that a fit of each shape has: `LawFit.parameters`. */
export const LAW_SHAPE_PARAMETERS: Readonly<Record<LawShape, number>> = {
  constant: 1,
  power: 2,
  linear: 1,
  saturating: 2,
};

/** Kinds of heads, by the rule in `kinds.ts`. */
export const HEAD_KINDS = ['sink', 'local', 'retrieval', 'diffuse'] as const;
export type HeadKind = (typeof HEAD_KINDS)[number];

/** Keys that the sampled queries near one length needed. */
export interface KeyCounts {
  mean: number;
  p10: number;
  median: number;
  p90: number;
}

/** How the keys grow with n, fitted to single queries on a logarithmic scale. */
export interface LawFit {
  /** keys = alpha n^C: the power law, whether or not it is the best shape. */
  alpha: number;
  C: number;
  /** C lies in here with a probability of 95 %, by bootstrap. */
  interval: [from: number, to: number];
  /** Share of the variance of log keys that the power law explains. */
  r2: number;
  /** The shape that the criterion chose. */
  shape: LawShape;
  /** Numbers of that shape: see `keysFromFit` in `shapes.ts`. */
  parameters: number[];
  /** AICc of each shape, less the smallest of them: 0 is the one chosen. */
  deltaAicc: Record<LawShape, number>;
}

/** Keys needed for one thing. */
export interface Law {
  criterion: Criterion;
  /** The share of the softmax, or the relative error, that may be left. */
  share: number;
  /** Of each length. */
  keys: KeyCounts[];
  fit: LawFit;
}

/** The law for a need and a share among those of a head or group. Both must be among what was measured. */
export const findLaw = (laws: readonly Law[], criterion: Criterion, share: number): Law =>
  laws.find((law) => law.criterion === criterion && law.share === share) as Law;

/** One query head. `alpha` to `keys` are those of the file's `headline`. */
export interface HeadLaw {
  layer: number;
  /** Query head in the layer. */
  head: number;
  kind: HeadKind;
  alpha: number;
  C: number;
  r2: number;
  interval: [from: number, to: number];
  /** Mean keys needed at each length: `{ "512": 40.1 }`. */
  keys: Record<string, number>;
  /** For every need and share. */
  laws: Law[];
  /** Mean share of the softmax on the first 4 keys and on the last 128, of each length. */
  sinkMass: number[];
  localMass: number[];
  /** Keys that would have the entropy of the softmax if they had equal shares: mean e^H, of each length. */
  effectiveKeys: number[];
  /** Standard deviation of the scores of a query, in nats: mean of each length. */
  scoreSpread: number[];
  /** Keys needed for each share of mass (shares, lengths) if the scores were Gaussian with that spread. */
  gaussian: number[][];
  /** Error with the tail dropped, (lengths, ladder); null where the ladder has more keys than 60 % of all. */
  errorWithoutTail: (number | null)[][];
  /** Error of `topk-means`, likewise. */
  errorWithTail: (number | null)[][];
}

/** ln error^2 = level + keys (ln k - ln k0) + length (ln n - ln n0), for the policy that was measured. */
export interface ErrorSurface {
  level: number;
  /** Slope over ln keys: below 0. */
  keys: number;
  /** Slope over ln n. C of the policy's law is -length / keys. */
  length: number;
  /** Standard errors of the two slopes before they were shrunk towards those of all groups. */
  standardErrors: [keys: number, length: number];
}

/** The query heads that share a key-value head. */
export interface GroupLaw {
  layer: number;
  keyValueHead: number;
  /** Error of the policy, (lengths, budgets): root mean square over the sampled queries and the heads of the group. */
  errors: (number | null)[][];
  /** Keys needed for each share as error of what the policy returns. */
  laws: Law[];
  /** What budgets are made with: shrunk slopes. */
  surface: ErrorSurface;
  /** How much the model's KL to dense, in nats, grows with the squared error of this group. Null: not measured. */
  weight: number | null;
}

/** Mean keys a head that the whole model needs for one divergence from dense attention, of each length. */
export interface ModelLaw {
  /** KL to dense, in nats. */
  kl: number;
  fixed: KeysByLength;
  /** With the keys divided over the heads. */
  divided: KeysByLength;
}

/** Mean keys a head, predicted, and the exponent of their growth. */
export interface KeysByLength {
  keys: number[];
  C: number;
}

/** How well laws that were fitted on shorter contexts predicted the keys at the longest one. */
export interface Extrapolation {
  /** Longest length of the fit, and the length that was predicted. */
  fittedTo: number;
  predicted: number;
  /** Of `mass` at the headline's share: by kind of head. */
  kinds: {
    kind: HeadKind;
    heads: number;
    /** Mean of ln(predicted / measured), and root mean square of it. */
    bias: number;
    error: number;
    /** Error with each head's own exponent, not shrunk towards that of all heads. */
    unshrunkError: number;
  }[];
}

/** The model that a law belongs to. */
export interface LawModel {
  name: string;
  /** SHA-256 of the model's file. */
  hash: string;
  layers: number;
  heads: number;
  keyValueHeads: number;
  headDim: number;
}

/** How it was measured. */
export interface LawSettings {
  /** Tokens of each text. */
  tokens: number;
  /** Sampled positions for each length and text. */
  samples: number;
  seed: number;
  precision: 'fp32' | 'a8' | 'w8a8';
  cachePrecision: 'f16' | 'f32';
  /** Tokens of context at which the session was made; past what the model was trained for, RoPE is stretched. */
  context: number;
  /** The policy whose returned error the groups have. */
  policy: string;
}

/** A whole model at a length that may never have been measured. */
export interface LawPrediction {
  n: number;
  /** Mean keys a head by the headline's law, and the share of n that they are. */
  keys: number;
  share: number;
  /** Mean budget of the policy for its default total, and bytes that a token reads by it, and densely. */
  budget: number;
  bytes: number;
  denseBytes: number;
  /** Whether n is past the lengths that were measured. */
  extrapolated: boolean;
}

export interface LawSummary {
  heads: number;
  kinds: Record<HeadKind, number>;
  /** How many heads grow in each shape, for the headline. */
  shapes: Record<LawShape, number>;
  /** Over heads, for every need and share: median C and its 5 % and 95 % quantiles, and mean keys of each length. */
  laws: {
    criterion: Criterion;
    share: number;
    C: { median: number; p5: number; p95: number };
    r2: number;
    keys: number[];
  }[];
  /** Correlation over heads of C between the first two texts, for the headline; null with a single text. */
  textCorrelation: number | null;
  predictions: LawPrediction[];
}

/** The whole of law.json. */
export interface LawFile {
  format: typeof LAW_FORMAT;
  version: typeof LAW_VERSION;
  model: LawModel;
  texts: { name: string; hash: string; tokens: number }[];
  settings: LawSettings;
  /** Lengths of context, ascending; queries at positions from .9 n to n count as those of n. */
  lengths: number[];
  /** Shares of mass, and relative errors, for which keys are counted. */
  shares: number[];
  /** Numbers of keys at which the errors of heads are measured. */
  ladder: number[];
  /** Budgets at which the policy is measured. */
  budgets: number[];
  /** The need and share that `alpha`, `C` and `keys` of the heads are for. */
  headline: { criterion: Criterion; share: number };
  /** Layer by layer. */
  heads: HeadLaw[];
  groups: GroupLaw[];
  /** What the surfaces of the groups are centred on: ln k0 and ln n0. */
  centre: { keys: number; length: number };
  /** Weights, as predicted, times this are the KL that was measured. */
  calibration: { factor: number; points: { n: number; budget: string; predicted: number; measured: number }[] } | null;
  whole: ModelLaw[];
  extrapolation: Extrapolation[];
  summary: LawSummary;
}
