import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lawFixture } from '../../test/law-fixture.ts';
import { checkLaw, lawModelOf, openLaw, withLawBudget } from './open-law.ts';

const law = lawFixture({ layers: 2, heads: 3 });
const config = { ...law.model, layerAttention: [{}, {}] };
const model = {
  name: 'a model',
  config,
  hash: () => Promise.resolve(law.model.hash),
};

describe('a law file', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-open-law-'));
    await writeFile(file('law.json'), JSON.stringify(law));
    await writeFile(file('old.json'), JSON.stringify({ ...law, version: 1 }));
    await writeFile(file('text.json'), 'no law');
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('is read as it was written', async () => {
    expect(await openLaw(file('law.json'))).toEqual(JSON.parse(JSON.stringify(law)));
  });

  it.for([
    ['none.json', 'file-not-found'],
    ['text.json', 'law-invalid'],
    ['old.json', 'law-version'],
  ] as const)('%s is refused as %s', async ([name, code]) => {
    await expect(openLaw(file(name))).rejects.toMatchObject({ code });
  });
});

describe('the model of a law', () => {
  it('is known by its hash and its heads, whatever its name', async () => {
    expect(await lawModelOf(model)).toEqual({ ...law.model, name: 'a model' });
    await expect(checkLaw(law, model, 'law.json')).resolves.toBeUndefined();
  });

  it('counts the layers that policies select keys in, and says which they are where there are others', async () => {
    const layerAttention = [{ window: 64 }, {}, { softCap: 30 }, {}];
    const mixed = await lawModelOf({ ...model, config: { ...config, layerAttention } });
    expect(mixed).toMatchObject({ layers: 2, layerIndices: [1, 3] });
  });

  it.for([
    ['another file', { ...model, hash: () => Promise.resolve('00') }],
    ['other heads', { ...model, config: { ...config, heads: 6 } }],
    ['layers that have a window', { ...model, config: { ...config, layerAttention: [{}, { window: 64 }, {}] } }],
  ] as const)('is refused with %s', async ([, other]) => {
    await expect(checkLaw(law, other, 'law.json')).rejects.toMatchObject({ code: 'law-foreign' });
  });
});

describe('withLawBudget', () => {
  it('divides a target over the heads', () => {
    const spec = withLawBudget({ policy: 'sieve', budget: 'mean:64', certify: 0.1 }, law);
    expect(spec).toMatchObject({ policy: 'sieve', budget: 'mean:64', certify: 0.1 });
    expect(spec.plan).toMatchObject({ layers: 2, heads: 3 });
    const { lengths = [], keys = [] } = spec.plan ?? {};
    const at = lengths.indexOf(4096) * 6;
    const mean = keys.slice(at, at + 6).reduce((a, b) => a + b, 0) / 6;
    expect(mean).toBeCloseTo(64, 0);
  });

  it.for([[{ policy: 'sieve', budget: 'fixed:9' }], [{ policy: 'dense' }]] as const)('leaves %j as it is', ([spec]) => {
    expect(withLawBudget(spec, law)).toEqual(spec);
  });

  it('leaves everything as it is without a law', () => {
    expect(withLawBudget({ policy: 'sieve', budget: 'mean:64' }, undefined)).toEqual({
      policy: 'sieve',
      budget: 'mean:64',
    });
  });
});
