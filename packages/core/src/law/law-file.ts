/**
 * The format of law.json, which `keysieve measure` writes: how many keys the heads of a model need as the context grows,
 * by three criteria.
 *
 * - `mass`: the keys with the largest scores leave at most a share eps of the softmax unread.
 * - `errorWithoutTail`: the output from these keys alone has a relative error of at most eps.
 * - `errorWithTail`: the output of a policy, its estimate of the tail included, has a relative error of at most eps. For
 *   a head the policy is `topk-means`: the best keys by score, and page means for the rest. For a GQA group it is the
 *   measured policy, the sieve: the query heads of a group share a sample, and so have one law together.
 *
 * Arrays over lengths are in the order of `lengths`, those over shares in that of `shares`, and so on. Errors are
 * relative root mean squares, ||o' - o|| / ||o||, over the sampled queries.
 */

/** The value of `format` in every law file. */
export const LAW_FORMAT = 'keysieve-law';
/** The version of the format, raised by every incompatible change. */
export const LAW_VERSION = 3;

/** The criteria by which the needed keys are counted: see above. */
export const CRITERIA = ['mass', 'errorWithoutTail', 'errorWithTail'] as const;
/** One of `CRITERIA`. */
export type Criterion = (typeof CRITERIA)[number];

/** The shapes that are fitted to the growth of the keys with n. */
export const LAW_SHAPES = ['constant', 'power', 'linear', 'saturating'] as const;
/** One of `LAW_SHAPES`. */
export type LawShape = (typeof LAW_SHAPES)[number];

/** The number of parameters of each shape: the length of `LawFit.parameters`. */
export const LAW_SHAPE_PARAMETERS: Readonly<Record<LawShape, number>> = {
  constant: 1,
  power: 2,
  linear: 1,
  saturating: 2,
};

/** Kinds of heads: half of the softmax on the first 4 keys, half on the last 128, on few others, or on many. */
export const HEAD_KINDS = ['sink', 'local', 'retrieval', 'diffuse'] as const;
/** One of `HEAD_KINDS`. */
export type HeadKind = (typeof HEAD_KINDS)[number];

/** Statistics of the keys that the sampled queries of one length needed. */
export interface KeyCounts {
  mean: number;
  p10: number;
  median: number;
  p90: number;
}

/** The growth of the keys with n, fitted to single queries on logarithmic scales. */
export interface LawFit {
  /** keys = alpha n^C: the power law, whether or not it is the best shape. */
  alpha: number;
  C: number;
  /** 95 % bootstrap confidence interval of C. */
  interval: [from: number, to: number];
  /** Share of the variance of ln keys that the power law explains. */
  r2: number;
  /** The shape with the smallest AICc. */
  shape: LawShape;
  /** Parameters of that shape: [keys], [alpha, C], [rate] or [limit, half], as `keysFromFit` of @keysieve/lab reads them. */
  parameters: number[];
  /** AICc of each shape minus the smallest one: 0 for the chosen shape. */
  deltaAicc: Record<LawShape, number>;
}

/** The law of a head or group for one criterion and share. */
export interface Law {
  criterion: Criterion;
  /** The share of the softmax, or the relative error, that is tolerated. */
  share: number;
  /** One for each length. */
  keys: KeyCounts[];
  fit: LawFit;
}

/** The law for a criterion and a share, which must be among those of the head or group. */
export const findLaw = (laws: readonly Law[], criterion: Criterion, share: number): Law =>
  laws.find((law) => law.criterion === criterion && law.share === share) as Law;

/** A query head. `alpha`, `C`, `r2`, `interval` and `keys` are those of the file's `headline`. */
export interface HeadLaw {
  layer: number;
  /** Index of the query head in its layer. */
  head: number;
  kind: HeadKind;
  alpha: number;
  C: number;
  r2: number;
  interval: [from: number, to: number];
  /** Mean keys needed at each length: `{ "512": 40.1 }`. */
  keys: Record<string, number>;
  /** For every criterion and share. */
  laws: Law[];
  /** Mean share of the softmax on the first 4 keys, and on the last 128, at each length. */
  sinkMass: number[];
  localMass: number[];
  /** Mean e^H of the softmax entropy H at each length: the keys that would have that entropy with equal shares. */
  effectiveKeys: number[];
  /** Mean standard deviation of the scores of a query, in nats, at each length. */
  scoreSpread: number[];
  /**
   * Share of the variance of the scores, about the mean of each query and without the first 4 keys, that a profile over
   * distances explains, fitted to half of the queries and tried on the other half: at each length. 1 where distance alone
   * counts, 0 or less where it tells nothing; null with fewer than two queries.
   */
  distanceShare: (number | null)[];
  /**
   * What the best approximation of rank 4 leaves of the attention of all sampled queries, rows of length 1: ||A - A_4|| /
   * ||A|| in the Frobenius norm, estimated from a sketch, mean over the texts. Near 0 where a few patterns of attention
   * serve all queries.
   */
  rank4Residual: number;
  /** Keys for each share of mass if the scores were Gaussian with that spread: (shares, lengths). */
  gaussian: number[][];
  /** Error without the tail: (lengths, ladder); null where a rung has more than 60 % of all keys. */
  errorWithoutTail: (number | null)[][];
  /** Error of `topk-means`: (lengths, ladder); null where a rung has more than 60 % of all keys. */
  errorWithTail: (number | null)[][];
}

/** The error of the measured policy: ln error^2 = level + keys (ln k - ln k0) + length (ln n - ln n0). */
export interface ErrorSurface {
  level: number;
  /** Slope over ln k, below 0. */
  keys: number;
  /** Slope over ln n. The policy's law has the exponent C = -length / keys. */
  length: number;
  /** Standard errors of the two slopes before they were shrunk towards the mean of all groups. */
  standardErrors: [keys: number, length: number];
}

/** A GQA group: the query heads that share a key-value head. */
export interface GroupLaw {
  layer: number;
  keyValueHead: number;
  /** Error of the policy, root mean square over sampled queries and heads: (lengths, budgets); null where not measured. */
  errors: (number | null)[][];
  /** For `errorWithTail`, by share. */
  laws: Law[];
  /** The surface that budgets are derived from, with shrunk slopes. */
  surface: ErrorSurface;
}

/** How well laws fitted to shorter contexts predicted the keys at the longest one. */
export interface Extrapolation {
  /** The longest length of the fit, and the predicted length. */
  fittedTo: number;
  predicted: number;
  /** By kind of head, for `mass` at the headline's share. */
  kinds: {
    kind: HeadKind;
    heads: number;
    /** Mean and root mean square, over the heads, of ln(predicted / measured) of their mean keys. */
    bias: number;
    error: number;
    /** The root mean square with each head's own exponent, not shrunk towards that of all heads. */
    unshrunkError: number;
  }[];
}

/** The model that was measured. */
export interface LawModel {
  name: string;
  /** SHA-256 of the model file, in hexadecimal. */
  hash: string;
  /** Layers that have laws: those that policies select keys in. */
  layers: number;
  /** Their indices in a model that has other layers, too, with a window or a soft cap: those are read in full. Default: 0, 1, ... */
  layerIndices?: readonly number[] | undefined;
  heads: number;
  keyValueHeads: number;
  headDim: number;
}

/** The settings of a measurement. */
export interface LawSettings {
  /** Tokens read of each text. */
  tokens: number;
  /** Positions sampled for each length and text. */
  samples: number;
  seed: number;
  precision: 'fp32' | 'a8' | 'w8a8';
  cachePrecision: 'f16' | 'f32';
  /** The session's context length in tokens. Beyond the model's trained length, RoPE is extended. */
  context: number;
  /** The policy whose error was measured for the groups. */
  policy: string;
}

/** What a token would read at a length, which may not have been measured. */
export interface LawPrediction {
  n: number;
  /** Mean keys a head by the headline's law, and their share of n. */
  keys: number;
  share: number;
  /** Mean budget of the policy; bytes that a token then reads from the cache, and with full attention. */
  budget: number;
  bytes: number;
  denseBytes: number;
  /** Whether n is beyond the measured lengths. */
  extrapolated: boolean;
}

/** Figures over all heads. */
export interface LawSummary {
  heads: number;
  kinds: Record<HeadKind, number>;
  /** The number of heads whose best shape is this one, for the headline. */
  shapes: Record<LawShape, number>;
  /** For every criterion and share: median, 5 % and 95 % quantiles of C over the heads, and mean keys at each length. */
  laws: {
    criterion: Criterion;
    share: number;
    C: { median: number; p5: number; p95: number };
    r2: number;
    keys: number[];
  }[];
  /** Correlation of C, over heads, between the first two texts, for the headline; null with a single text. */
  textCorrelation: number | null;
  predictions: LawPrediction[];
}

/** The content of law.json. */
export interface LawFile {
  format: typeof LAW_FORMAT;
  version: typeof LAW_VERSION;
  model: LawModel;
  texts: { name: string; hash: string; tokens: number }[];
  settings: LawSettings;
  /** Context lengths, ascending. Queries at positions from .9 n to n count for the length n. */
  lengths: number[];
  /** The tolerated shares of mass and relative errors. */
  shares: number[];
  /** Numbers of keys at which the errors of heads were measured, ascending. */
  ladder: number[];
  /** Numbers of keys at which the policy was measured, ascending. */
  budgets: number[];
  /** The criterion and share of `alpha`, `C` and `keys` of the heads. */
  headline: { criterion: Criterion; share: number };
  /** In the order of layers and heads. */
  heads: HeadLaw[];
  groups: GroupLaw[];
  /** The center of the error surfaces: ln k0 and ln n0. */
  centre: { keys: number; length: number };
  extrapolation: Extrapolation[];
  summary: LawSummary;
}
