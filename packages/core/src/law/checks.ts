/** Checks of the values of a parsed file, which say where in it one is wrong. */

/** Gives what is wrong with a value, with the path to it; undefined if nothing is. */
export type Check = (value: unknown, path: string) => string | undefined;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const check =
  (expected: string, isValid: (value: unknown) => boolean): Check =>
  (value, path) =>
    isValid(value) ? undefined : `${path}: ${JSON.stringify(value)?.slice(0, 40) ?? 'missing'}, expected ${expected}`;

export const text = check('a string', (value) => typeof value === 'string');
export const finite = check('a number', Number.isFinite);
export const positive = check('a number above 0', (value) => Number.isFinite(value) && (value as number) > 0);
export const nonNegativeInteger = check(
  'a non-negative integer',
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

export const optionalOf =
  (inner: Check): Check =>
  (value, path) =>
    value === undefined ? undefined : inner(value, path);

export const listOf =
  (inner: Check, min = 0): Check =>
  (value, path) => {
    if (!Array.isArray(value) || value.length < min) return `${path}: expected a list of at least ${min}`;
    for (const [i, element] of value.entries()) {
      const fault = inner(element, `${path}[${i}]`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };

export function pairOf(inner: Check): Check {
  return (value, path) =>
    Array.isArray(value) && value.length === 2 ? listOf(inner)(value, path) : `${path}: expected two numbers`;
}

export const ascending: Check = (value, path) => {
  const fault = listOf(positiveInteger, 1)(value, path);
  if (fault !== undefined) return fault;
  const numbers = value as number[];
  return numbers.every((x, i) => i === 0 || x > (numbers[i - 1] as number))
    ? undefined
    : `${path}: not in ascending order`;
};

export type Fields = Readonly<Record<string, Check>>;

export const objectOf =
  (fields: Fields): Check =>
  (value, path) =>
    isObject(value) ? findFault(value, fields, path) : `${path}: expected an object`;

export function findFault(value: Record<string, unknown>, fields: Fields, path: string): string | undefined {
  for (const [name, inner] of Object.entries(fields)) {
    const fault = inner(value[name], `${path}, ${name}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

export const nonNegative = check('a number >= 0', (value) => Number.isFinite(value) && (value as number) >= 0);

/** An object with a value for each of the names. */
export const objectWith = (names: readonly string[], inner: Check) =>
  objectOf(Object.fromEntries(names.map((name) => [name, inner])));

/** An object with any names, all of whose values pass. */
export const recordOf =
  (inner: Check): Check =>
  (value, path) =>
    isObject(value)
      ? findFault(value, Object.fromEntries(Object.keys(value).map((name) => [name, inner])), path)
      : `${path}: expected an object`;
