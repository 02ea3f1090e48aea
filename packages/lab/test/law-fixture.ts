/** A law.json as `keysieve measure` would write it, of an invented model: for tests of what is made from one. */
import type { Criterion, GroupLaw, HeadKind, HeadLaw, Law, LawFile } from 'keysieve';
import { createRandom } from '../src/numerics/random.ts';

const LENGTHS = [512, 724, 1024, 1448, 2048, 2896, 4096, 5793, 8192];
const SHARES = [0.1, 0.05, 0.01];
const LADDER = [16, 32, 64, 128, 256, 512, 1024, 2048];
const BUDGETS = [16, 32, 64, 128, 256, 512, 1024];

export interface FixtureOptions {
  layers?: number;
  heads?: number;
}

export function lawFixture({ layers = 30, heads = 9 }: FixtureOptions = {}): LawFile {
  const random = createRandom(7);
  const headLaws = Array.from({ length: layers * heads }, (_, i): HeadLaw => {
    const C = 0.05 + 1.05 * random.uniform() ** 1.2;
    const alpha = 2 * 1.5 ** (4 * random.uniform()) * 40 ** (0.8 - C);
    const kind = kindOf(C, random.uniform());
    const laws = (['mass', 'errorWithoutTail', 'errorWithTail'] as const).flatMap((criterion) =>
      SHARES.map((share) => lawOf(criterion, share, alpha, C)),
    );
    const headline = laws.find((law) => law.criterion === 'mass' && law.share === 0.05) as Law;
    const errors = (factor: number) =>
      LENGTHS.map((n) =>
        LADDER.map((k) => (k >= n ? null : Math.min(1, factor * Math.sqrt((alpha * n ** C) / k) * 0.1))),
      );
    return {
      layer: Math.floor(i / heads),
      head: i % heads,
      kind,
      laws,
      alpha: headline.fit.alpha,
      C,
      r2: headline.fit.r2,
      interval: headline.fit.interval,
      keys: Object.fromEntries(LENGTHS.map((n, at) => [n, headline.keys[at]?.mean ?? 0])),
      sinkMass: LENGTHS.map(() => (kind === 'sink' ? 0.8 : 0.1)),
      localMass: LENGTHS.map(() => (kind === 'local' ? 0.7 : 0.15)),
      effectiveKeys: LENGTHS.map((n) => 0.3 * alpha * n ** C),
      scoreSpread: LENGTHS.map((n) => 1 + 0.3 * Math.log(n / 256)),
      distanceShare: LENGTHS.map(() => (kind === 'local' ? 0.6 : 0.2)),
      rank4Residual: kind === 'diffuse' ? 0.37 : 0.16,
      gaussian: SHARES.map((share) => LENGTHS.map((n) => (0.002 * n) / share ** 0.5)),
      errorWithoutTail: errors(1),
      errorWithTail: errors(0.45),
    };
  });
  const groups = Array.from({ length: layers * Math.ceil(heads / 3) }, (_, i): GroupLaw => {
    const C = 0.3 + 0.5 * random.uniform();
    return {
      layer: Math.floor(i / Math.ceil(heads / 3)),
      keyValueHead: i % Math.ceil(heads / 3),
      errors: LENGTHS.map((n) => BUDGETS.map((k) => (k >= n ? null : Math.min(1, 0.05 * Math.sqrt(n ** C / k))))),
      laws: SHARES.map((share) => lawOf('errorWithTail', share, 3, C)),
      surface: { level: -4, keys: -1, length: C, standardErrors: [0.1, 0.1] },
    };
  });
  const meanKeys = (n: number) =>
    headLaws.reduce((sum, { alpha, C }) => sum + Math.min(n, alpha * n ** C), 0) / headLaws.length;
  const count = (kind: HeadKind) => headLaws.filter((head) => head.kind === kind).length;
  return {
    format: 'keysieve-law',
    version: 3,
    model: { name: 'invented', hash: 'ab'.repeat(32), layers, heads, keyValueHeads: Math.ceil(heads / 3), headDim: 64 },
    texts: [
      { name: 'war-and-peace.txt', hash: 'cd'.repeat(32), tokens: 8192 },
      { name: 'middlemarch.txt', hash: 'ef'.repeat(32), tokens: 8192 },
    ],
    settings: {
      tokens: 8192,
      samples: 32,
      seed: 1,
      precision: 'a8',
      cachePrecision: 'f16',
      context: 8192,
      policy: 'sieve',
    },
    lengths: LENGTHS,
    shares: SHARES,
    ladder: LADDER,
    budgets: BUDGETS,
    headline: { criterion: 'mass', share: 0.05 },
    heads: headLaws,
    groups,
    centre: { keys: 5, length: 8 },
    extrapolation: [2048, 4096].map((fittedTo) => ({
      fittedTo,
      predicted: 8192,
      kinds: (['sink', 'local', 'retrieval', 'diffuse'] as const).map((kind) => ({
        kind,
        heads: count(kind),
        bias: 0.1,
        error: fittedTo === 2048 ? 0.5 : 0.25,
        unshrunkError: 0.8,
      })),
    })),
    summary: {
      heads: headLaws.length,
      kinds: { sink: count('sink'), local: count('local'), retrieval: count('retrieval'), diffuse: count('diffuse') },
      shapes: { constant: 20, power: 200, linear: 30, saturating: 20 },
      laws: (['mass', 'errorWithoutTail', 'errorWithTail'] as const).flatMap((criterion) =>
        SHARES.map((share) => {
          const matching = headLaws.map(
            ({ laws }) => laws.find((law) => law.criterion === criterion && law.share === share) as Law,
          );
          const sorted = matching.map(({ fit }) => fit.C).sort((a, b) => a - b);
          const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))] as number;
          const keys = LENGTHS.map(
            (_, i) => matching.reduce((sum, law) => sum + (law.keys[i]?.mean ?? 0), 0) / matching.length,
          );
          return { criterion: criterion, share, C: { median: at(0.5), p5: at(0.05), p95: at(0.95) }, r2: 0.8, keys };
        }),
      ),
      textCorrelation: 0.87,
      predictions: [32_768, 131_072, 1_048_576].map((n) => ({
        n,
        keys: meanKeys(n),
        share: meanKeys(n) / n,
        budget: 12 * n ** 0.35,
        extrapolated: true,
        bytes: 20 * n * layers * 3,
        denseBytes: 256 * n * layers * 3,
      })),
    },
  };
}

function kindOf(C: number, chance: number): HeadKind {
  if (C > 0.95) return 'diffuse';
  if (C < 0.25) return chance < 0.5 ? 'sink' : 'local';
  return 'retrieval';
}

function lawOf(criterion: Criterion, share: number, alpha: number, C: number): Law {
  const factor = { mass: 1, errorWithoutTail: 0.9, errorWithTail: 0.3 }[criterion] * (0.1 / share) ** 0.5;
  const scaledAlpha = alpha * factor;
  const keys = LENGTHS.map((n, i) => Math.min(n, scaledAlpha * n ** C * (1 + 0.1 * Math.sin(3 * i))));
  const deltaAicc = { constant: 40, power: 0, linear: 30, saturating: 2 };
  return {
    criterion,
    share,
    keys: keys.map((mean) => ({ mean, p10: mean / 2, median: mean, p90: mean * 1.7 })),
    fit: {
      alpha: scaledAlpha,
      C,
      interval: [C - 0.06, C + 0.06],
      r2: 0.85,
      shape: 'power',
      parameters: [scaledAlpha, C],
      deltaAicc,
    },
  };
}
