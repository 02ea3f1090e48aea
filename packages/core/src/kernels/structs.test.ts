import { describe, expect, it } from 'vitest';
import { writeSampleSplit, writeSieveStates } from './structs.generated.ts';
import { readStruct, STRUCTS, structBytes } from './structs.ts';
import { viewsOf } from './views.ts';

describe('a parameter block', () => {
  const views = viewsOf(new WebAssembly.Memory({ initial: 1 }));

  it('has its fields one behind the other, four bytes each', () => {
    expect(structBytes('SieveStates')).toBe(36);
    const addresses = { state: 64, certainState: 128, firstHalfState: 192, secondHalfState: 256 };
    writeSieveStates(views(), 1024, {
      ...addresses,
      headDim: 64,
      rows: 3,
      results: 320,
      outputs: 384,
      scratch: 2 ** 32 - 64,
    });
    expect([...views().u32.slice(256, 265)]).toEqual([64, 3, 64, 128, 192, 256, 320, 384, 2 ** 32 - 64]);
  });

  it('is read as it was written', () => {
    const split = Object.fromEntries(Object.keys(STRUCTS.SampleSplit).map((field, i) => [field, i + 1]));
    writeSampleSplit(views(), 2048, split as never);
    expect(readStruct(views(), 2048, 'SampleSplit')).toEqual(split);
  });
});
