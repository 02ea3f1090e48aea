import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { stepCosts } from './step-costs.ts';

const files = useTestFiles();
const SHAPE = { headDim: 32, heads: 2, keyValueHeads: 1, precision: 'f16', threads: 1 } as const;

describe('step costs', () => {
  it('are kept, and read again', async () => {
    const cache = join(files.folder(), 'costs');
    const costs = await stepCosts(SHAPE, cache);
    const [name = ''] = readdirSync(join(cache, 'step-costs'));
    const path = join(cache, 'step-costs', name);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(costs);
    const other = {
      dense: { fixed: 1, perKey: 2 },
      sieve: { fixed: 3, perKey: 4, perSampled: 5 },
      certified: { fixed: 6, perKey: 7, perRead: 8 },
    };
    writeFileSync(path, JSON.stringify(other));
    expect(await stepCosts(SHAPE, cache)).toEqual(other);
    for (const broken of [
      '',
      '{}',
      '{"dense":{"fixed":-1,"perKey":2},"sieve":{"fixed":3,"perKey":4,"perSampled":5},"certified":{"fixed":6,"perKey":7,"perRead":8}}',
      '{"dense":{"fixed":1,"perKey":2},"sieve":{"fixed":3,"perKey":4,"perSampled":5}}',
      '{"dense":{"fixed":1,"perKey":2},"sieve":{"fixed":3,"perKey":4,"perSampled":5},"certified":{"fixed":6,"perKey":7}}',
    ]) {
      writeFileSync(path, broken);
      expect(await stepCosts(SHAPE, cache)).toEqual(costs);
      expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(costs);
    }
  });
});
