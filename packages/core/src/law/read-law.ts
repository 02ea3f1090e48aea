/**
 * Reads law.json. Budgets are made from it, so everything they rest on is checked: a file that is broken, of another
 * version or of another model is refused, and never gives other budgets than it stands for.
 */
import { KeysieveError } from '../errors.ts';
import {
  ascending,
  type Check,
  check,
  count,
  each,
  type Fields,
  faultOf,
  finite,
  isObject,
  list,
  notNegative,
  nullable,
  object,
  oneOf,
  pair,
  positive,
  record,
  size,
  text,
} from './checks.ts';
import {
  HEAD_KINDS,
  LAW_FORMAT,
  LAW_SHAPES,
  LAW_VERSION,
  type Law,
  type LawFile,
  type LawFit,
  type LawModel,
  NEEDS,
  type Need,
} from './law-file.ts';
import { SHAPES } from './shapes.ts';

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
  const fault = faultOf(parsed, LAW, 'the file') ?? sizesFault(parsed as unknown as LawFile);
  if (fault !== undefined) throw invalid(name, fault);
  return parsed as unknown as LawFile;
}

/** Throws `law-foreign` unless the law was measured on this model. */
export function checkLawModel({ model }: Pick<LawFile, 'model'>, used: LawModel, name: string): void {
  const sizes = ['layers', 'heads', 'keyValueHeads', 'headDim'] as const;
  if (model.hash === used.hash && sizes.every((size) => model[size] === used[size])) return;
  throw new KeysieveError({
    code: 'law-foreign',
    problem: `${name} was measured on another model.`,
    found: `${model.name} (${model.hash.slice(0, 12)}), where ${used.name} (${used.hash.slice(0, 12)}) is used`,
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

const errors = list(list(nullable(notNegative)));
const counts = each(['mean', 'p10', 'median', 'p90'], positive);

const fields = object({
  ...{ alpha: positive, C: finite, interval: pair(finite), r2: finite },
  ...{ shape: oneOf(LAW_SHAPES), parameters: list(finite), criterion: each(LAW_SHAPES, notNegative) },
});

/** A fit has as many numbers as its shape. */
const fit: Check = (value, where) => {
  const fault = fields(value, where);
  if (fault !== undefined) return fault;
  const { shape, parameters } = value as LawFit;
  const { freedom } = SHAPES[shape];
  return parameters.length === freedom ? undefined : `${where}: not ${freedom} numbers of the shape ${shape}`;
};

const law = object({ need: oneOf(NEEDS), share: positive, keys: list(counts, 1), fit });

const keysByLength = object({ keys: list(positive, 1), C: finite });
const needAndShare = { need: oneOf(NEEDS), share: positive };

const LAW: Fields = {
  model: object({ name: text, hash: text, layers: size, heads: size, keyValueHeads: size, headDim: size }),
  texts: list(object({ name: text, hash: text, tokens: size }), 1),
  settings: object({
    ...{ tokens: size, samples: size, seed: count, context: size, policy: text },
    precision: oneOf(['exact', 'fast', 'fastest']),
    cachePrecision: oneOf(['f16', 'f32']),
  }),
  lengths: ascending,
  shares: list(positive, 1),
  ladder: ascending,
  budgets: ascending,
  headline: object(needAndShare),
  heads: list(
    object({
      ...{ layer: count, head: count, kind: oneOf(HEAD_KINDS) },
      ...{ alpha: positive, C: finite, r2: finite, interval: pair(finite) },
      keys: record(positive),
      laws: list(law, 1),
      ...{ sinkMass: list(notNegative), localMass: list(notNegative) },
      ...{ effectiveKeys: list(positive), scoreSpread: list(notNegative) },
      gaussian: list(list(positive)),
      ...{ dropped: errors, returned: errors },
    }),
    1,
  ),
  groups: list(
    object({
      ...{ layer: count, keyValueHead: count, errors, laws: list(law, 1) },
      surface: object({ level: finite, keys: finite, length: finite, standardErrors: pair(notNegative) }),
      weight: nullable(notNegative),
    }),
    1,
  ),
  centre: object({ keys: finite, length: finite }),
  calibration: nullable(
    object({
      factor: positive,
      points: list(object({ n: size, budget: text, predicted: notNegative, measured: notNegative })),
    }),
  ),
  whole: list(object({ kl: positive, fixed: keysByLength, divided: keysByLength })),
  extrapolation: list(
    object({
      ...{ fittedTo: size, predicted: size },
      kinds: list(
        object({
          kind: oneOf(HEAD_KINDS),
          heads: count,
          bias: finite,
          error: notNegative,
          unshrunkError: notNegative,
        }),
      ),
    }),
  ),
  summary: object({
    heads: size,
    kinds: each(HEAD_KINDS, count),
    shapes: each(LAW_SHAPES, count),
    laws: list(
      object({ ...needAndShare, C: each(['median', 'p5', 'p95'], finite), r2: finite, keys: list(positive, 1) }),
      1,
    ),
    textCorrelation: nullable(finite),
    predictions: list(
      object({
        ...{ n: size, keys: positive, share: positive, budget: positive, bytes: positive, denseBytes: positive },
        extrapolated: check('yes or no', (value) => typeof value === 'boolean'),
      }),
    ),
  }),
};

/** Whether the lists have the sizes that the model and the lengths ask for, in their order. */
function sizesFault(file: LawFile): string | undefined {
  const { model, lengths, shares, ladder, budgets, headline, heads, groups, whole, summary } = file;
  const along = (list: { length: number }) => list.length === lengths.length;
  const table = (rows: readonly (readonly unknown[])[], columns: number) =>
    along(rows) && rows.every((row) => row.length === columns);
  const lawsFor = (
    laws: readonly (Pick<Law, 'need' | 'share'> & { keys: { length: number } })[],
    needs: readonly Need[],
  ) =>
    laws.length === needs.length * shares.length &&
    laws.every(
      ({ need, share, keys }, i) =>
        need === needs[Math.floor(i / shares.length)] && share === shares[i % shares.length] && along(keys),
    );
  const headsRight =
    heads.length === model.layers * model.heads &&
    heads.every(
      ({ layer, head, dropped, returned, laws, keys, gaussian, ...lists }, i) =>
        i === layer * model.heads + head &&
        head < model.heads &&
        table(dropped, ladder.length) &&
        table(returned, ladder.length) &&
        lawsFor(laws, NEEDS) &&
        Object.keys(keys).join() === lengths.join() &&
        gaussian.length === shares.length &&
        gaussian.every(along) &&
        [lists.sinkMass, lists.localMass, lists.effectiveKeys, lists.scoreSpread].every(along),
    );
  if (!headsRight) return `heads that are not those of ${model.layers} layers of ${model.heads}`;
  const groupsRight =
    groups.length === model.layers * model.keyValueHeads &&
    groups.every(
      ({ layer, keyValueHead, errors, laws }, i) =>
        i === layer * model.keyValueHeads + keyValueHead &&
        keyValueHead < model.keyValueHeads &&
        table(errors, budgets.length) &&
        lawsFor(laws, ['returned']),
    );
  if (!groupsRight) return `groups that are not those of ${model.layers} layers of ${model.keyValueHeads}`;
  if (model.heads % model.keyValueHeads !== 0) return 'heads that cannot be shared out over the key-value heads';
  if (!shares.includes(headline.share)) return `a headline of the share ${headline.share}, which was not measured`;
  const keysRight =
    whole.every(({ fixed, divided }) => along(fixed.keys) && along(divided.keys)) &&
    lawsFor(summary.laws, NEEDS) &&
    summary.heads === heads.length;
  if (!keysRight) return 'a summary that is not of these lengths';
  // A surface that does not fall with the keys divides nothing.
  return groups.every(({ surface }) => surface.keys < 0) ? undefined : 'errors that do not fall with the keys';
}
