import { describe, expect, it } from 'vitest';
import { classifyHead } from './kinds.ts';

describe('classifyHead', () => {
  const head = { n: 1000, sinkMass: 0.1, localMass: 0.2, keys: 20 };

  it.for([
    ['sink', { sinkMass: 0.5 }],
    ['sink', { sinkMass: 0.6, localMass: 0.6, keys: 900 }],
    ['local', { localMass: 0.5 }],
    ['local', { localMass: 0.9, keys: 900 }],
    ['diffuse', { keys: 100 }],
    ['retrieval', { keys: 99 }],
    ['retrieval', {}],
  ] as const)('is %s with %j', ([kind, features]) => {
    expect(classifyHead({ ...head, ...features })).toBe(kind);
  });
});
