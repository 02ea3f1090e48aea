/** What the values of a parsed file must be, as checks that say where one is not. */

/** What a value must be: says what is wrong with it, or undefined. */
export type Check = (value: unknown, path: string) => string | undefined;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const check =
  (expected: string, isValid: (value: unknown) => boolean): Check =>
  (value, path) =>
    isValid(value)
      ? undefined
      : `${path}: ${JSON.stringify(value)?.slice(0, 40) ?? 'nothing'}, which is no ${expected}`;

export const text = check('text', (value) => typeof value === 'string');
export const finite = check('number', Number.isFinite);
export const positive = check('number above 0', (value) => Number.isFinite(value) && (value as number) > 0);
export const nonNegativeInteger = check(
  'whole number',
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);
export const positiveInteger = check(
  'whole number above 0',
  (value) => Number.isSafeInteger(value) && (value as number) > 0,
);
export const oneOfValues = (choices: readonly string[]) =>
  check(`one of ${choices}`, (value) => choices.includes(value as string));
export const nullableOf =
  (inner: Check): Check =>
  (value, path) =>
    value === null ? undefined : inner(value, path);

export const listOf =
  (inner: Check, min = 0): Check =>
  (value, path) => {
    if (!Array.isArray(value) || value.length < min) return `${path}: no list of at least ${min}`;
    for (const [i, element] of value.entries()) {
      const fault = inner(element, `${path}[${i}]`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };

export function pairOf(inner: Check): Check {
  return (value, path) =>
    Array.isArray(value) && value.length === 2 ? listOf(inner)(value, path) : `${path}: no pair of numbers`;
}

export const ascending: Check = (value, path) => {
  const fault = listOf(positiveInteger, 1)(value, path);
  if (fault !== undefined) return fault;
  const numbers = value as number[];
  return numbers.every((x, i) => i === 0 || x > (numbers[i - 1] as number)) ? undefined : `${path}: not ascending`;
};

export type Fields = Readonly<Record<string, Check>>;

export const objectOf =
  (fields: Fields): Check =>
  (value, path) =>
    isObject(value) ? findFault(value, fields, path) : `${path}: no object`;

export function findFault(value: Record<string, unknown>, fields: Fields, path: string): string | undefined {
  for (const [name, inner] of Object.entries(fields)) {
    const fault = inner(value[name], `${path}, ${name}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

export const nonNegative = check('number, at least 0', (value) => Number.isFinite(value) && (value as number) >= 0);

/** An object that has a value for each of the names. */
export const objectWith = (names: readonly string[], inner: Check) =>
  objectOf(Object.fromEntries(names.map((name) => [name, inner])));

/** Values by names that are not known beforehand. */
export const recordOf =
  (inner: Check): Check =>
  (value, path) =>
    isObject(value)
      ? findFault(value, Object.fromEntries(Object.keys(value).map((name) => [name, inner])), path)
      : `${path}: no object`;
