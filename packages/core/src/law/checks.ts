/** What the values of a parsed file must be, as checks that say where one is not. */

/** What a value must be: says what is wrong with it, or undefined. */
export type Check = (value: unknown, where: string) => string | undefined;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const check =
  (what: string, holds: (value: unknown) => boolean): Check =>
  (value, where) =>
    holds(value) ? undefined : `${where}: ${JSON.stringify(value)?.slice(0, 40) ?? 'nothing'}, which is no ${what}`;

export const text = check('text', (value) => typeof value === 'string');
export const finite = check('number', Number.isFinite);
export const positive = check('number above 0', (value) => Number.isFinite(value) && (value as number) > 0);
export const count = check('whole number', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
export const size = check('whole number above 0', (value) => Number.isSafeInteger(value) && (value as number) > 0);
export const oneOf = (choices: readonly string[]) =>
  check(`one of ${choices}`, (value) => choices.includes(value as string));
export const nullable =
  (of: Check): Check =>
  (value, where) =>
    value === null ? undefined : of(value, where);

export const list =
  (of: Check, least = 0): Check =>
  (value, where) => {
    if (!Array.isArray(value) || value.length < least) return `${where}: no list of at least ${least}`;
    for (const [i, element] of value.entries()) {
      const fault = of(element, `${where}[${i}]`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };

export function pair(of: Check): Check {
  return (value, where) =>
    Array.isArray(value) && value.length === 2 ? list(of)(value, where) : `${where}: no pair of numbers`;
}

export const ascending: Check = (value, where) => {
  const fault = list(size, 1)(value, where);
  if (fault !== undefined) return fault;
  const numbers = value as number[];
  return numbers.every((x, i) => i === 0 || x > (numbers[i - 1] as number)) ? undefined : `${where}: not ascending`;
};

export type Fields = Readonly<Record<string, Check>>;

export const object =
  (fields: Fields): Check =>
  (value, where) =>
    isObject(value) ? faultOf(value, fields, where) : `${where}: no object`;

export function faultOf(value: Record<string, unknown>, fields: Fields, where: string): string | undefined {
  for (const [name, of] of Object.entries(fields)) {
    const fault = of(value[name], `${where}, ${name}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

export const notNegative = check('number, at least 0', (value) => Number.isFinite(value) && (value as number) >= 0);

/** An object that has a value for each of the names. */
export const each = (names: readonly string[], of: Check) =>
  object(Object.fromEntries(names.map((name) => [name, of])));

/** Values by names that are not known beforehand. */
export const record =
  (of: Check): Check =>
  (value, where) =>
    isObject(value)
      ? faultOf(value, Object.fromEntries(Object.keys(value).map((name) => [name, of])), where)
      : `${where}: no object`;
