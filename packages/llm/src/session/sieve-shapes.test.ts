/**
 * The sieve on models of every shape of heads that it is used with: what holds for random keys holds for those of a model,
 * which RoPE has turned and whose heads share keys.
 */
import { join } from 'node:path';
import type { AttentionReport, PolicySpec } from 'keysieve';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { createRandom } from '../../test/random.ts';
import { bytePairTokenizer } from '../../test/tiny-models/vocabularies.ts';
import { TinyModel, type TinySizes } from '../../test/tiny-models/writer.ts';
import { loadModel } from './load-model.ts';

const files = useTestFiles();

/** A Llama of two layers. */
function modelOf(sizes: Pick<TinySizes, 'heads' | 'keyValueHeads' | 'headDim'>): Buffer {
  const tokenizer = bytePairTokenizer(['the ships of the north'], 'llama-bpe', ['<|begin|>', '<|end|>'], {
    ids: { bos: '<|begin|>', eos: '<|end|>' },
  });
  const model = new TinyModel('llama', tokenizer, { layers: 2, hiddenSize: 64, feedForwardSize: 64, ...sizes });
  model.base({ keyLength: true, ropeDimensions: sizes.headDim }).embedding(false);
  for (const layer of [0, 1]) model.attention(layer, { spread: 2.5 }).mlp(layer);
  return model.write('shape');
}

/** Mean over the rows of ||output - full|| / ||full||. */
function relativeError(outputs: Float32Array, full: Float32Array, headDim: number): number {
  let sum = 0;
  for (let at = 0; at < full.length; at += headDim) {
    let [error, norm] = [0, 0];
    for (let i = at; i < at + headDim; i++) {
      error += ((outputs[i] as number) - (full[i] as number)) ** 2;
      norm += (full[i] as number) ** 2;
    }
    sum += Math.sqrt(error / norm);
  }
  return sum / (full.length / headDim);
}

describe('the sieve on a model', () => {
  it.for([
    // query heads, key-value heads, d, tokens
    [2, 2, 64, 2000],
    [4, 2, 128, 1200],
    [3, 1, 96, 900],
    [4, 1, 256, 900],
    [5, 1, 80, 700],
    [6, 1, 64, 1000],
    [7, 1, 64, 1500],
    [8, 1, 128, 600],
  ] as const)('of %i query heads on %i, of %i numbers, at %i tokens', async ([heads, keyValueHeads, headDim, n]) => {
    const path = await files.save(modelOf({ heads, keyValueHeads, headDim }));
    const cacheFolder = join(files.folder(), 'cache');
    await using model = await loadModel(path, { precision: 'fp32', threads: 1, context: 2048, cacheFolder });
    await using session = await model.createSession({
      denseFallback: false,
      encodings: ['sign', 'int4', 'int8', 'bounds'],
    });
    const random = createRandom(n);
    const vocabulary = model.config.vocabularySize;
    const tokens = Int32Array.from({ length: n }, () => Math.floor(((random.signed() + 1) / 2) * (vocabulary - 2)));
    const dense: PolicySpec = { policy: 'dense' };
    for await (const _ of session.evaluate(tokens.subarray(0, n - 1), { attention: dense, logits: false }));

    // More than the keys that are read in any case.
    const budgets = [80, 200, n];
    const errors = budgets.map(() => 0);
    const certified: { report: AttentionReport; error: number }[] = [];
    for await (const _ of session.evaluate(tokens.subarray(n - 1), {
      attention: dense,
      onAttention({ attention, layer, position, queries, outputs: full }) {
        const attend = (policy: PolicySpec) => {
          const { outputs, report } = attention.attend({ layer, position, queries, policy });
          return { report, error: relativeError(outputs, full, headDim) };
        };
        for (const [i, keys] of budgets.entries()) {
          errors[i] = (errors[i] as number) + attend({ policy: 'sieve', budget: `fixed:${keys}` }).error / 2;
        }
        certified.push(attend({ policy: 'sieve', budget: 'fixed:16', certify: 0.02 }));
      },
    }));

    const [few, some, all] = errors as [number, number, number];
    expect(all).toBeLessThan(1e-5);
    // Heads whose codes tell too little read every key where a sample would be off by more than this.
    expect(some).toBeLessThan(Math.max(few, 0.1));
    expect(certified).toHaveLength(2);
    for (const { report, error } of certified) {
      expect(report.certificate).toBe('certified');
      expect(report.tailMass.max).toBeLessThanOrEqual(0.02);
      expect(error).toBeLessThanOrEqual(report.outputError.sum / report.rows + 1e-5);
    }
  });
});
