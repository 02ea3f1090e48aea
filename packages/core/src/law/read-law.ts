/**
 * Reads law.json. Budgets are made from it, so everything they rest on is checked: a file that is broken, of another
 * version or of another model is refused, and never gives other budgets than it stands for.
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

/** The law in a text. Throws `law-invalid` or `law-version`; `name` says in them where the text comes from. */
export function readLaw(text: string, name: string): LawFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(name, `text that is no JSON: ${(error as Error).message}`);
  }
  if (!isObject(parsed) || parsed.format !== LAW_FORMAT) throw invalid(name, `no "format": "${LAW_FORMAT}"`);
  if (parsed.version !== LAW_VERSION) {
    throw new KeysieveError({
      code: 'law-version',
      problem: `${name} was written by another version of keysieve, and its numbers may mean something else.`,
      found: `version ${String(parsed.version)}, where ${LAW_VERSION} is read`,
      remedy: 'Measure the model again with this version: keysieve measure.',
    });
  }
  const fault = findFault(parsed, LAW_FIELDS, 'the file') ?? findSizeFault(parsed as unknown as LawFile);
  if (fault !== undefined) throw invalid(name, fault);
  return parsed as unknown as LawFile;
}

/** Throws `law-foreign` unless the law was measured on this model. */
export function checkLawModel({ model }: Pick<LawFile, 'model'>, actual: LawModel, name: string): void {
  const sizes = ['layers', 'heads', 'keyValueHeads', 'headDim'] as const;
  if (model.hash === actual.hash && sizes.every((size) => model[size] === actual[size])) return;
  throw new KeysieveError({
    code: 'law-foreign',
    problem: `${name} was measured on another model.`,
    found: `${model.name} (${model.hash.slice(0, 12)}), where ${actual.name} (${actual.hash.slice(0, 12)}) is used`,
    remedy: 'Measure this model: keysieve measure. A law holds for one file of weights.',
  });
}

function invalid(name: string, found: string): KeysieveError {
  return new KeysieveError({
    code: 'law-invalid',
    problem: `${name} is not a law that keysieve measure has written, or it was damaged.`,
    found,
    remedy: 'Measure the model again: keysieve measure --law FILE.',
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

/** A fit has as many numbers as its shape. */
const fit: Check = (value, where) => {
  const fault = fitFields(value, where);
  if (fault !== undefined) return fault;
  const { shape, parameters } = value as LawFit;
  const parameterCount = LAW_SHAPE_PARAMETERS[shape];
  return parameters.length === parameterCount
    ? undefined
    : `${where}: not ${parameterCount} numbers of the shape ${shape}`;
};

const law = objectOf({ criterion: oneOfValues(CRITERIA), share: positive, keys: listOf(counts, 1), fit });

const keysByLength = objectOf({ keys: listOf(positive, 1), C: finite });
const criterionAndShare = { criterion: oneOfValues(CRITERIA), share: positive };

const LAW_FIELDS: Fields = {
  model: objectOf({
    name: text,
    hash: text,
    layers: positiveInteger,
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
      weight: nullableOf(nonNegative),
    }),
    1,
  ),
  centre: objectOf({ keys: finite, length: finite }),
  calibration: nullableOf(
    objectOf({
      factor: positive,
      points: listOf(objectOf({ n: positiveInteger, budget: text, predicted: nonNegative, measured: nonNegative })),
    }),
  ),
  whole: listOf(objectOf({ kl: positive, fixed: keysByLength, divided: keysByLength })),
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
        extrapolated: check('yes or no', (value) => typeof value === 'boolean'),
      }),
    ),
  }),
};

/** Whether the lists have the sizes that the model and the lengths ask for, in their order. */
function findSizeFault(file: LawFile): string | undefined {
  const { model, lengths, shares, ladder, budgets, headline, heads, groups, whole, summary } = file;
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
  const headsValid =
    heads.length === model.layers * model.heads &&
    heads.every(
      ({ layer, head, errorWithoutTail, errorWithTail, laws, keys, gaussian, ...lists }, i) =>
        i === layer * model.heads + head &&
        head < model.heads &&
        table(errorWithoutTail, ladder.length) &&
        table(errorWithTail, ladder.length) &&
        hasLawsFor(laws, CRITERIA) &&
        Object.keys(keys).join() === lengths.join() &&
        gaussian.length === shares.length &&
        gaussian.every(matchesLengths) &&
        [lists.sinkMass, lists.localMass, lists.effectiveKeys, lists.scoreSpread].every(matchesLengths),
    );
  if (!headsValid) return `heads that are not those of ${model.layers} layers of ${model.heads}`;
  const groupsValid =
    groups.length === model.layers * model.keyValueHeads &&
    groups.every(
      ({ layer, keyValueHead, errors, laws }, i) =>
        i === layer * model.keyValueHeads + keyValueHead &&
        keyValueHead < model.keyValueHeads &&
        table(errors, budgets.length) &&
        hasLawsFor(laws, ['errorWithTail']),
    );
  if (!groupsValid) return `groups that are not those of ${model.layers} layers of ${model.keyValueHeads}`;
  if (model.heads % model.keyValueHeads !== 0) return 'heads that cannot be shared out over the key-value heads';
  if (!shares.includes(headline.share)) return `a headline of the share ${headline.share}, which was not measured`;
  const summaryValid =
    whole.every(({ fixed, divided }) => matchesLengths(fixed.keys) && matchesLengths(divided.keys)) &&
    hasLawsFor(summary.laws, CRITERIA) &&
    summary.heads === heads.length;
  if (!summaryValid) return 'a summary that is not of these lengths';
  // A surface that does not fall with the keys divides nothing.
  return groups.every(({ surface }) => surface.keys < 0) ? undefined : 'errors that do not fall with the keys';
}
