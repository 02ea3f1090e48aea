import { describe, expect, it } from 'vitest';
import { TAILS } from './index.ts';
import { describeTail } from './tail.conformance.ts';

for (const create of Object.values(TAILS)) describeTail(create);

describe('the list of tails', () => {
  it('has each under its name', () => {
    for (const [name, create] of Object.entries(TAILS)) expect(create().name).toBe(name);
  });
});
