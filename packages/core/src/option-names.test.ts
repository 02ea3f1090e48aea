import { describe, expect, it } from 'vitest';
import { type AttentionOptions, createAttention } from './attention/attention.ts';
import { checkOptionNames } from './option-names.ts';
import type { PolicySpec } from './policies/policy.ts';

const NAMES = { context: true, threads: true, cacheFolder: true } as const;
const messageFor = (options: object): string => {
  try {
    checkOptionNames('a model', options, NAMES);
  } catch (error) {
    expect(error).toMatchObject({ name: 'KeysieveError', code: 'invalid-argument' });
    return (error as Error).message;
  }
  return 'accepted';
};

describe('names of options', () => {
  it.each([
    ['thread', 'threads'],
    ['Context', 'context'],
    ['contextt', 'context'],
    ['cache_folder', 'cacheFolder'],
    ['cachefolder', 'cacheFolder'],
  ])('%s is taken for %s', (name, meant) => {
    expect(messageFor({ [name]: 1 })).toBe(`Unknown option of a model. Found: ${name}. Did you mean ${meant}?`);
  });

  it('that are like none are refused with the list of them', () => {
    expect(messageFor({ verbose: true })).toContain('Use context, threads, cacheFolder.');
    expect(messageFor({ toString: 1 })).toContain('Found: toString.');
    expect(messageFor(JSON.parse('{"__proto__": 1}'))).toContain('Found: __proto__.');
    expect(messageFor({ ['x'.repeat(1e6)]: 1 }).length).toBeLessThan(300);
  });

  it('that are known are accepted, undefined too', () => {
    expect(messageFor({ context: 1, threads: undefined })).toBe('accepted');
    expect(messageFor({})).toBe('accepted');
  });

  it('of an attention may be undefined, and then have their defaults', async () => {
    const shape = { layers: 1, keyValueHeads: 1, heads: 1, headDim: 64, capacity: 64 };
    const absent: Partial<AttentionOptions> = {
      precision: undefined,
      encodings: undefined,
      threads: undefined,
      memoryLimit: undefined,
      kernels: undefined,
      costs: undefined,
      arenaBytes: undefined,
      shared: undefined,
      onTrace: undefined,
    };
    await using withAbsent = await createAttention({ ...shape, ...absent });
    await using plain = await createAttention(shape);
    expect(withAbsent.cache.shape).toEqual(plain.cache.shape);
    withAbsent.cache.reserve(1);
    withAbsent.cache.write(0, 0, new Float32Array(64).fill(1), new Float32Array(64).fill(2));
    withAbsent.cache.commit(1);
    const policy: PolicySpec = { policy: 'dense', budget: undefined, plan: undefined, certify: undefined };
    const queries = new Float32Array(64);
    const { outputs } = withAbsent.attend({
      layer: 0,
      position: 0,
      queries,
      policy,
      shareSamples: undefined,
      outputs: undefined,
    });
    expect(outputs).toEqual(new Float32Array(64).fill(2));
  });

  it('of an attention are checked', async () => {
    const shape = { layers: 1, keyValueHeads: 1, heads: 1, headDim: 64, capacity: 64 };
    await expect(createAttention({ ...shape, memorylimit: 1 } as never)).rejects.toThrow('Did you mean memoryLimit?');
  });
});
