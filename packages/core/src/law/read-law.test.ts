import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeysieveError } from '../errors.ts';
import type { LawFile } from './law-file.ts';
import { checkLawModel, readLaw } from './read-law.ts';

/** A law of two heads that share their keys, at three lengths, as `keysieve measure` writes it. */
const text = JSON.stringify(JSON.parse(readFileSync(new URL('../../test/law.json', import.meta.url), 'utf8')));
const law = readLaw(text, 'law.json');

/** Every place in a value: the names and indices that lead to it. */
function pathsOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
  return [path, ...[...keys].flatMap((key) => pathsOf((value as Record<string, unknown>)[key], [...path, key]))];
}

/** A copy with something else at a path; undefined takes it away. */
function damaged(path: readonly (string | number)[], damage: (value: unknown) => unknown): string {
  const copy = JSON.parse(text);
  if (path.length === 0) return JSON.stringify(damage(copy)) ?? '';
  const holder = path.slice(0, -1).reduce((value, key) => value[key], copy);
  const last = path.at(-1) as string | number;
  const changed = damage(holder[last]);
  if (changed !== undefined) holder[last] = changed;
  else if (Array.isArray(holder)) holder.splice(Number(last), 1);
  else delete holder[last];
  return JSON.stringify(copy);
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof KeysieveError) return error.code;
    throw error;
  }
  return 'read';
}

describe('readLaw', () => {
  it('reads what measuring writes', () => {
    expect(readLaw(text, 'law.json')).toEqual(JSON.parse(text));
  });

  it('reads what an editor has saved with a byte order mark and its own line ends', () => {
    const edited = `\uFEFF${JSON.stringify(law, null, 2).replaceAll('\n', '\r\n')}`;
    expect(readLaw(edited, 'law.json')).toEqual(law);
  });

  it('reads laws of some layers of a model by their indices, and refuses them by others', () => {
    const moved = (layerIndices: number[], layer: number) => {
      const { model, heads, groups, ...rest } = JSON.parse(text);
      const at = (each: object) => ({ ...each, layer });
      return JSON.stringify({
        ...rest,
        model: { ...model, layerIndices },
        heads: heads.map(at),
        groups: groups.map(at),
      });
    };
    expect(readLaw(moved([5], 5), 'law.json').heads[0]?.layer).toBe(5);
    for (const [indices, layer] of [
      [[5], 0],
      [[0], 5],
      [[5, 6], 5],
      [[], 5],
    ] as const) {
      expect(codeOf(() => readLaw(moved([...indices], layer), 'law.json'))).toBe('law-invalid');
    }
    const { model } = readLaw(moved([5], 5), 'law.json');
    expect(codeOf(() => checkLawModel({ model }, { ...model, layerIndices: undefined }, 'law.json'))).toBe(
      'law-foreign',
    );
  });

  it('refuses every file that has something missing, or of another kind, anywhere', () => {
    // Lists of what may be empty, or is not always there, can lose an element; and names that lead nowhere are looked over.
    const free = /^(texts|extrapolation(\.\d+\.kinds)?|summary\.predictions)\.\d+$/;
    const paths = pathsOf(JSON.parse(text)).filter((path) => path.length > 0);
    const damages: ((value: unknown) => unknown)[] = [
      () => undefined,
      (value) => (typeof value === 'string' ? 7 : 'seven'),
      (value) => (Array.isArray(value) ? {} : []),
      (value) => (typeof value === 'boolean' ? null : true),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.constantFrom(...damages), (path, damage) => {
        fc.pre(!(damage === damages[0] && free.test(path.join('.'))));
        const code = codeOf(() => readLaw(damaged(path, damage), 'law.json'));
        expect(path[0] === 'version' ? ['law-version'] : ['law-invalid'], path.join('.')).toContain(code);
      }),
      { numRuns: 600 },
    );
  });

  it('refuses null, but for what may not have been measured', () => {
    const whole = JSON.parse(text);
    const valueAt = (path: (string | number)[]) =>
      path.reduce((inner: unknown, key) => (inner as Record<string, unknown>)[key], whole);
    const paths = pathsOf(whole).filter((path) => path.length > 0 && valueAt(path) !== null);
    const nullable =
      /^(heads\.\d+\.((errorWithoutTail|errorWithTail)\.\d+\.\d+|distanceShare\.\d+)|groups\.\d+\.errors\.\d+\.\d+|summary\.textCorrelation)$/;
    fc.assert(
      fc.property(fc.constantFrom(...paths), (path) => {
        const code = codeOf(() =>
          readLaw(
            damaged(path, () => null),
            'law.json',
          ),
        );
        if (nullable.test(path.join('.'))) expect(code, path.join('.')).toBe('read');
        else expect(['law-invalid', 'law-version'], path.join('.')).toContain(code);
      }),
      { numRuns: 300 },
    );
  });

  it('refuses a file that was cut off anywhere', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), (length) => {
        expect(codeOf(() => readLaw(text.slice(0, length), 'law.json'))).toBe('law-invalid');
      }),
    );
  });

  it.for([
    ['no JSON', 'alpha n^C', 'law-invalid'],
    ['JSON of another kind', '[1, 2]', 'law-invalid'],
    ['nothing', '', 'law-invalid'],
    ['an older version', damaged(['version'], () => 2), 'law-version'],
    ['a newer version', damaged(['version'], () => 4), 'law-version'],
    ['a head twice', damaged(['heads', 1, 'head'], () => 0), 'law-invalid'],
    ['errors that rise with the keys', damaged(['groups', 0, 'surface', 'keys'], () => 0.1), 'law-invalid'],
    ['a headline that was not measured', damaged(['headline', 'share'], () => 0.2), 'law-invalid'],
    ['lengths that do not ascend', damaged(['lengths', 0], () => 9000), 'law-invalid'],
    ['a negative number of keys', damaged(['heads', 0, 'laws', 0, 'keys', 0, 'mean'], () => -1), 'law-invalid'],
    ['a shape that is not known', damaged(['heads', 0, 'laws', 0, 'fit', 'shape'], () => 'cubic'), 'law-invalid'],
    ['an endless number', text.replace(/"level":[^,]*/, '"level":1e999'), 'law-invalid'],
  ] as const)('refuses %s', ([, broken, code]) => {
    expect(codeOf(() => readLaw(broken, 'law.json'))).toBe(code);
  });
});

describe('checkLawModel', () => {
  const { model } = law;

  it('takes the model that was measured, under any name', () => {
    expect(codeOf(() => checkLawModel(law, { ...model, name: 'another name' }, 'law.json'))).toBe('read');
  });

  it.for([
    ['hash', 'ef'.repeat(32)],
    ['layers', 4],
    ['heads', 8],
    ['keyValueHeads', 2],
    ['headDim', 128],
  ] as const)('refuses a model of another %s', ([what, other]) => {
    const changed: Pick<LawFile, 'model'> = { model: { ...model, [what]: other } };
    expect(codeOf(() => checkLawModel(changed, model, 'law.json'))).toBe('law-foreign');
  });
});
