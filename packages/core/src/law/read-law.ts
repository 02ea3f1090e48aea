/**
 * Reads law.json. Budgets are derived from it, so every field is checked: a file that is broken, of another version or
 * of another model is refused, and never yields a wrong budget silently.
 */
import { KeysieveError } from '../errors.ts';
import {
  ascending,
  type Check,
  check,
  type Fields,
  findFault,
  finite,
  isObject,
  listOf,
  nonNegative,
  nonNegativeInteger,
  nullableOf,
  objectOf,
  objectWith,
  oneOfValues,
  optionalOf,
  pairOf,
  positive,
  positiveInteger,
  recordOf,
  text,
} from './checks.ts';
import {
  CRITERIA,
  type Criterion,
  HEAD_KINDS,
  LAW_FORMAT,
  LAW_SHAPE_PARAMETERS,
  LAW_SHAPES,
  LAW_VERSION,
  type Law,
  type LawFile,
  type LawFit,
  type LawModel,
} from './law-file.ts';

/** Parses and checks law.json. `name` names the source in errors. Throws `law-invalid` or `law-version`. */
export function readLaw(text: string, name: string): LawFile {
  let parsed: unknown;
  try {
    // Editors put a byte order mark in front.
    parsed = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw invalid(name, `invalid JSON: ${(error as Error).message}`);
  }
  if (!isObject(parsed) || parsed.format !== LAW_FORMAT) throw invalid(name, `no "format": "${LAW_FORMAT}"`);
  if (parsed.version !== LAW_VERSION) {
    throw new KeysieveError({
      code: 'law-version',
      problem: `${name} was written by another version of keysieve, in another format.`,
      found: `format version ${String(parsed.version)}; this version reads ${LAW_VERSION}`,
      remedy: 'Measure the model again with keysieve measure.',
    });
  }
  const fault = findFault(parsed, LAW_FIELDS, 'the file') ?? findSizeFault(parsed as unknown as LawFile);
  if (fault !== undefined) throw invalid(name, fault);
  return parsed as unknown as LawFile;
}

/** Throws `law-foreign` unless the law was measured on this model file (by hash and sizes). `name` names the law. */
export function checkLawModel({ model }: Pick<LawFile, 'model'>, actual: LawModel, name: string): void {
  const sizes = ['layers', 'heads', 'keyValueHeads', 'headDim'] as const;
  const sameLayers = JSON.stringify(model.layerIndices) === JSON.stringify(actual.layerIndices);
  if (model.hash === actual.hash && sameLayers && sizes.every((size) => model[size] === actual[size])) return;
  throw new KeysieveError({
    code: 'law-foreign',
    problem: `${name} was measured on another model.`,
    found: `a law of ${model.name} (${model.hash.slice(0, 12)}), used with ${actual.name} (${actual.hash.slice(0, 12)})`,
    remedy: 'Measure this model with keysieve measure: a law holds for one file of weights.',
  });
}

function invalid(name: string, found: string): KeysieveError {
  return new KeysieveError({
    code: 'law-invalid',
    problem: `${name} is not a law file written by keysieve measure, or it is damaged.`,
    found,
    remedy: 'Measure the model again with keysieve measure --law FILE.',
  });
}

const errors = listOf(listOf(nullableOf(nonNegative)));
const counts = objectWith(['mean', 'p10', 'median', 'p90'], positive);

const fitFields = objectOf({
  alpha: positive,
  C: finite,
  interval: pairOf(finite),
  r2: finite,
  shape: oneOfValues(LAW_SHAPES),
  parameters: listOf(finite),
  deltaAicc: objectWith(LAW_SHAPES, nonNegative),
});

/** A fit has the number of parameters of its shape. */
const fit: Check = (value, where) => {
  const fault = fitFields(value, where);
  if (fault !== undefined) return fault;
  const { shape, parameters } = value as LawFit;
  const parameterCount = LAW_SHAPE_PARAMETERS[shape];
  return parameters.length === parameterCount
    ? undefined
    : `${where}: ${parameters.length} parameters; the shape ${shape} has ${parameterCount}`;
};

const law = objectOf({ criterion: oneOfValues(CRITERIA), share: positive, keys: listOf(counts, 1), fit });

const criterionAndShare = { criterion: oneOfValues(CRITERIA), share: positive };

const LAW_FIELDS: Fields = {
  model: objectOf({
    name: text,
    hash: text,
    layers: positiveInteger,
    layerIndices: optionalOf(listOf(nonNegativeInteger, 1)),
    heads: positiveInteger,
    keyValueHeads: positiveInteger,
    headDim: positiveInteger,
  }),
  texts: listOf(objectOf({ name: text, hash: text, tokens: positiveInteger }), 1),
  settings: objectOf({
    tokens: positiveInteger,
    samples: positiveInteger,
    seed: nonNegativeInteger,
    context: positiveInteger,
    policy: text,
    precision: oneOfValues(['fp32', 'a8', 'w8a8']),
    cachePrecision: oneOfValues(['f16', 'f32']),
  }),
  lengths: ascending,
  shares: listOf(positive, 1),
  ladder: ascending,
  budgets: ascending,
  headline: objectOf(criterionAndShare),
  heads: listOf(
    objectOf({
      layer: nonNegativeInteger,
      head: nonNegativeInteger,
      kind: oneOfValues(HEAD_KINDS),
      alpha: positive,
      C: finite,
      r2: finite,
      interval: pairOf(finite),
      keys: recordOf(positive),
      laws: listOf(law, 1),
      sinkMass: listOf(nonNegative),
      localMass: listOf(nonNegative),
      effectiveKeys: listOf(positive),
      scoreSpread: listOf(nonNegative),
      distanceShare: listOf(nullableOf(finite)),
      rank4Residual: nonNegative,
      gaussian: listOf(listOf(positive)),
      errorWithoutTail: errors,
      errorWithTail: errors,
    }),
    1,
  ),
  groups: listOf(
    objectOf({
      layer: nonNegativeInteger,
      keyValueHead: nonNegativeInteger,
      errors,
      laws: listOf(law, 1),
      surface: objectOf({ level: finite, keys: finite, length: finite, standardErrors: pairOf(nonNegative) }),
    }),
    1,
  ),
  centre: objectOf({ keys: finite, length: finite }),
  extrapolation: listOf(
    objectOf({
      fittedTo: positiveInteger,
      predicted: positiveInteger,
      kinds: listOf(
        objectOf({
          kind: oneOfValues(HEAD_KINDS),
          heads: nonNegativeInteger,
          bias: finite,
          error: nonNegative,
          unshrunkError: nonNegative,
        }),
      ),
    }),
  ),
  summary: objectOf({
    heads: positiveInteger,
    kinds: objectWith(HEAD_KINDS, nonNegativeInteger),
    shapes: objectWith(LAW_SHAPES, nonNegativeInteger),
    laws: listOf(
      objectOf({
        ...criterionAndShare,
        C: objectWith(['median', 'p5', 'p95'], finite),
        r2: finite,
        keys: listOf(positive, 1),
      }),
      1,
    ),
    textCorrelation: nullableOf(finite),
    predictions: listOf(
      objectOf({
        n: positiveInteger,
        keys: positive,
        share: positive,
        budget: positive,
        bytes: positive,
        denseBytes: positive,
        extrapolated: check('boolean', (value) => typeof value === 'boolean'),
      }),
    ),
  }),
};

/** What is wrong with the sizes and the order of lists, given the model and the lengths; undefined if nothing is. */
function findSizeFault(file: LawFile): string | undefined {
  const { model, lengths, shares, ladder, budgets, headline, heads, groups, summary } = file;
  const matchesLengths = (list: { length: number }) => list.length === lengths.length;
  const table = (rows: readonly (readonly unknown[])[], columns: number) =>
    matchesLengths(rows) && rows.every((row) => row.length === columns);
  const hasLawsFor = (
    laws: readonly (Pick<Law, 'criterion' | 'share'> & { keys: { length: number } })[],
    criteria: readonly Criterion[],
  ) =>
    laws.length === criteria.length * shares.length &&
    laws.every(
      ({ criterion, share, keys }, i) =>
        criterion === criteria[Math.floor(i / shares.length)] &&
        share === shares[i % shares.length] &&
        matchesLengths(keys),
    );
  const { layerIndices } = model;
  const indicesValid =
    layerIndices === undefined ||
    (layerIndices.length === model.layers &&
      layerIndices.every((x, i) => i === 0 || x > (layerIndices[i - 1] as number)));
  if (!indicesValid) return `indices of ${layerIndices?.length} layers, not ascending ones of ${model.layers}`;
  /** The index in the model of the layer of number `i` of a list with `perLayer` for each. */
  const layerOf = (i: number, perLayer: number) => {
    const index = Math.floor(i / perLayer);
    return layerIndices === undefined ? index : layerIndices[index];
  };
  const headsValid =
    heads.length === model.layers * model.heads &&
    heads.every(
      ({ layer, head, errorWithoutTail, errorWithTail, laws, keys, gaussian, ...lists }, i) =>
        layer === layerOf(i, model.heads) &&
        head === i % model.heads &&
        table(errorWithoutTail, ladder.length) &&
        table(errorWithTail, ladder.length) &&
        hasLawsFor(laws, CRITERIA) &&
        Object.keys(keys).join() === lengths.join() &&
        gaussian.length === shares.length &&
        gaussian.every(matchesLengths) &&
        [lists.sinkMass, lists.localMass, lists.effectiveKeys, lists.scoreSpread, lists.distanceShare].every(
          matchesLengths,
        ),
    );
  if (!headsValid) return `heads other than those of ${model.layers} layers with ${model.heads} each`;
  const groupsValid =
    groups.length === model.layers * model.keyValueHeads &&
    groups.every(
      ({ layer, keyValueHead, errors, laws }, i) =>
        layer === layerOf(i, model.keyValueHeads) &&
        keyValueHead === i % model.keyValueHeads &&
        table(errors, budgets.length) &&
        hasLawsFor(laws, ['errorWithTail']),
    );
  if (!groupsValid)
    return `groups other than those of ${model.layers} layers with ${model.keyValueHeads} key-value heads each`;
  if (model.heads % model.keyValueHeads !== 0)
    return `${model.heads} query heads, not a multiple of the ${model.keyValueHeads} key-value heads`;
  if (!shares.includes(headline.share)) return `a headline share of ${headline.share}, which was not measured`;
  const summaryValid = hasLawsFor(summary.laws, CRITERIA) && summary.heads === heads.length;
  if (!summaryValid) return 'a summary whose laws or heads do not match the rest';
  // Water-filling needs errors that fall as keys are added.
  return groups.every(({ surface }) => surface.keys < 0)
    ? undefined
    : 'an error surface that does not fall with the keys';
}
