/**
 * Reads law.json. Budgets are made from it, so everything they rest on is checked: a file that is broken, of another
 * version or of another model is refused, and never gives other budgets than it stands for.
 */
import { KeysieveError } from '../errors.ts';
import { HEAD_KINDS, LAW_FORMAT, LAW_SHAPES, LAW_VERSION, type LawFile, type LawModel, NEEDS } from './law-file.ts';

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

/** What a value must be: says what is wrong with it, or undefined. */
type Check = (value: unknown, where: string) => string | undefined;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const check =
  (what: string, holds: (value: unknown) => boolean): Check =>
  (value, where) =>
    holds(value) ? undefined : `${where}: ${JSON.stringify(value)?.slice(0, 40) ?? 'nothing'}, which is no ${what}`;

const text = check('text', (value) => typeof value === 'string');
const finite = check('number', Number.isFinite);
const positive = check('number above 0', (value) => Number.isFinite(value) && (value as number) > 0);
const count = check('whole number', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
const size = check('whole number above 0', (value) => Number.isSafeInteger(value) && (value as number) > 0);
const oneOf = (choices: readonly string[]) => check(`one of ${choices}`, (value) => choices.includes(value as string));
const nullable =
  (of: Check): Check =>
  (value, where) =>
    value === null ? undefined : of(value, where);

const list =
  (of: Check, least = 0): Check =>
  (value, where) => {
    if (!Array.isArray(value) || value.length < least) return `${where}: no list of at least ${least}`;
    for (const [i, element] of value.entries()) {
      const fault = of(element, `${where}[${i}]`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };

const ascending: Check = (value, where) => {
  const fault = list(size, 1)(value, where);
  if (fault !== undefined) return fault;
  const numbers = value as number[];
  return numbers.every((x, i) => i === 0 || x > (numbers[i - 1] as number)) ? undefined : `${where}: not ascending`;
};

type Fields = Readonly<Record<string, Check>>;

const object =
  (fields: Fields): Check =>
  (value, where) =>
    isObject(value) ? faultOf(value, fields, where) : `${where}: no object`;

function faultOf(value: Record<string, unknown>, fields: Fields, where: string): string | undefined {
  for (const [name, of] of Object.entries(fields)) {
    const fault = of(value[name], `${where}, ${name}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

const errors = list(list(nullable(positiveOrZero())));

function positiveOrZero(): Check {
  return check('number, at least 0', (value) => Number.isFinite(value) && (value as number) >= 0);
}

const law = object({
  need: oneOf(NEEDS),
  share: positive,
  keys: list(object({ mean: positive, p10: positive, median: positive, p90: positive })),
  fit: object({
    alpha: positive,
    C: finite,
    interval: list(finite, 2),
    r2: finite,
    shape: oneOf(LAW_SHAPES),
    parameters: list(finite, 1),
  }),
});

const LAW: Fields = {
  model: object({ name: text, hash: text, layers: size, heads: size, keyValueHeads: size, headDim: size }),
  texts: list(object({ name: text, hash: text, tokens: size }), 1),
  settings: object({ tokens: size, samples: size, seed: count, policy: text }),
  lengths: ascending,
  shares: list(positive, 1),
  ladder: ascending,
  budgets: ascending,
  headline: object({ need: oneOf(NEEDS), share: positive }),
  heads: list(
    object({
      layer: count,
      head: count,
      kind: oneOf(HEAD_KINDS),
      alpha: positive,
      C: finite,
      laws: list(law, 1),
      dropped: errors,
      returned: errors,
    }),
    1,
  ),
  groups: list(
    object({
      layer: count,
      keyValueHead: count,
      errors,
      laws: list(law),
      surface: object({ level: finite, keys: finite, length: finite }),
      weight: nullable(positiveOrZero()),
    }),
    1,
  ),
  centre: object({ keys: finite, length: finite }),
  whole: list(object({ kl: positive })),
  extrapolation: list(object({ fittedTo: size, predicted: size })),
};

/** Whether the lists have the sizes that the model and the lengths ask for, in their order. */
function sizesFault({ model, lengths, ladder, budgets, heads, groups }: LawFile): string | undefined {
  const table = (rows: readonly (readonly unknown[])[], columns: number) =>
    rows.length === lengths.length && rows.every((row) => row.length === columns);
  const headsRight =
    heads.length === model.layers * model.heads &&
    heads.every(
      ({ layer, head, dropped, returned }, i) =>
        i === layer * model.heads + head &&
        head < model.heads &&
        table(dropped, ladder.length) &&
        table(returned, ladder.length),
    );
  if (!headsRight) return `heads that are not those of ${model.layers} layers of ${model.heads}`;
  const groupsRight =
    groups.length === model.layers * model.keyValueHeads &&
    groups.every(
      ({ layer, keyValueHead, errors }, i) =>
        i === layer * model.keyValueHeads + keyValueHead &&
        keyValueHead < model.keyValueHeads &&
        table(errors, budgets.length),
    );
  if (!groupsRight) return `groups that are not those of ${model.layers} layers of ${model.keyValueHeads}`;
  // A surface that does not fall with the keys divides nothing.
  return groups.every(({ surface }) => surface.keys < 0) ? undefined : 'errors that do not fall with the keys';
}
