import { join } from 'node:path';
import { expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { sharedFile } from '../../test/shared.ts';
import { TINY_MODELS } from '../../test/tiny-models/models.ts';
import { readCorpus } from '../../test/tiny-models/vocabularies.ts';
import { inspectModel } from './inspection.ts';
import { estimateMemory } from './memory-estimate.ts';

const files = useTestFiles();
const corpus = sharedFile('models/tiny/tools/corpus.py');

it.skipIf(corpus === undefined).each(['gemma3', 'llama', 'gpt-oss-f32'])(
  'the memory of %s is that of an inspection: layers with a window take no more than it',
  async (name) => {
    const path = await files.save(
      (TINY_MODELS[name] as (typeof TINY_MODELS)[string])(readCorpus(corpus as string)).write(name),
    );
    const options = { context: 4096, precision: 'fp32', threads: 1 } as const;
    const { memory } = await inspectModel(path, { ...options, cacheFolder: join(files.folder(), 'cache') });
    const { weights, cache, cachePerToken } = await estimateMemory(path, options);
    expect({ weights, cache, cachePerToken }).toEqual({
      weights: memory.weights,
      cache: memory.cache,
      cachePerToken: memory.cachePerToken,
    });
    if (name === 'llama') expect(cache / cachePerToken).toBeCloseTo(4096, -2);
    else expect(cache / cachePerToken).toBeGreaterThan(4096);
  },
);
