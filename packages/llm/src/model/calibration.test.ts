import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { tinyLlama } from '../../test/tiny-llama.ts';
import { openGguf } from '../gguf/index.ts';
import { readCalibration, writeCalibration } from './calibration.ts';

const files = useTestFiles();

describe('calibrations', () => {
  it('are remembered by the content of the model', async () => {
    const cache = join(files.folder(), 'cache');
    await using gguf = await openGguf(await files.save(tinyLlama()));
    await using other = await openGguf(await files.save(tinyLlama({ matrices: 'Q4_1' })));
    expect(await readCalibration(gguf, 'a8', cache)).toBeUndefined();
    await writeCalibration(gguf, 'a8', cache, { kl: 0.002, tokens: 256 });
    expect(await readCalibration(gguf, 'a8', cache)).toEqual({ kl: 0.002, tokens: 256 });
    expect(await readCalibration(other, 'a8', cache)).toBeUndefined();
    expect(readdirSync(join(cache, 'calibrations'))).toHaveLength(1);
  });

  it.each(['', 'null', '{', '{"kl": -1, "tokens": 256}', '{"kl": "small", "tokens": 256}', '{"kl": 0.1, "tokens": 0}'])(
    'are measured again where they are broken: %s',
    async (text) => {
      const cache = join(files.folder(), 'broken');
      await using gguf = await openGguf(await files.save(tinyLlama()));
      await writeCalibration(gguf, 'a8', cache, { kl: 0.002, tokens: 256 });
      const [name] = readdirSync(join(cache, 'calibrations'));
      writeFileSync(join(cache, 'calibrations', name as string), text);
      expect(await readCalibration(gguf, 'a8', cache)).toBeUndefined();
    },
  );

  it('are no error where they cannot be kept', async () => {
    await using gguf = await openGguf(await files.save(tinyLlama()));
    const cache = join(await files.save('a file'), 'cache');
    await writeCalibration(gguf, 'a8', cache, { kl: 0.002, tokens: 256 });
    expect(await readCalibration(gguf, 'a8', cache)).toBeUndefined();
  });
});
