/** The tokenizer of a real model, made from its GGUF alone and from its tokenizer.json, against the goldens. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sharedFile } from '../../test/shared.ts';
import { openGguf } from '../gguf/open.ts';
import { createTokenizer } from './tokenizer.ts';

const modelPath = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
const jsonPath = sharedFile('models/smollm2-135m/tokenizer.json');
const promptsPath = sharedFile('goldens/smollm2-135m/prompts.json');
const logitsPath = sharedFile('goldens/smollm2-135m/logits.safetensors');
const textPath = sharedFile('texts/war-and-peace.txt');
const present = [modelPath, jsonPath, promptsPath, logitsPath, textPath].every((path) => path !== undefined);

/** Written by test/goldens/tokenizer.py with the `tokenizers` package. */
const goldens = JSON.parse(readFileSync(new URL('../../test/goldens/tokenizer.json', import.meta.url), 'utf8')) as {
  texts: string[];
  ids: string[];
};

/** A tensor of 32-bit integers in a safetensors file. */
function int32Tensor(path: string, name: string): Int32Array {
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes));
  const [start, end] = header[name].data_offsets as [number, number];
  return new Int32Array(Uint8Array.from(bytes.subarray(8 + headerBytes + start, 8 + headerBytes + end)).buffer);
}

describe.skipIf(!present)('the tokenizer of SmolLM2', async () => {
  if (!present) return;
  await using file = await openGguf(modelPath as string);
  const fromGguf = createTokenizer(file);
  const fromJson = createTokenizer(file, { tokenizerJson: readFileSync(jsonPath as string, 'utf8') });
  const both = [
    ['its GGUF', fromGguf],
    ['its tokenizer.json', fromJson],
  ] as const;

  describe.each(both)('from %s', (_, tokenizer) => {
    const { prompts } = JSON.parse(readFileSync(promptsPath as string, 'utf8')) as {
      prompts: { prompt: string; ids: number[]; greedy: number[]; greedy_text: string }[];
    };

    it.each(prompts)('gives the ids of the prompt $prompt', ({ prompt, ids, greedy, greedy_text }) => {
      expect([...tokenizer.encode(prompt)]).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(prompt);
      expect(tokenizer.decode(greedy)).toBe(greedy_text);
    });

    it('gives the ids of 4,096 tokens of a novel', () => {
      const text = readFileSync(textPath as string, 'utf8').slice(5000, 25_000);
      const ids = tokenizer.encode(text);
      expect(ids.subarray(0, 4096)).toEqual(int32Tensor(logitsPath as string, 'ids'));
      expect(tokenizer.decode(ids)).toBe(text);
    });

    it('gives the ids of difficult texts', () => {
      expect(goldens.texts.map((text) => tokenizer.encode(text).join(' '))).toEqual(goldens.ids);
    });

    it('knows its special tokens', () => {
      expect(tokenizer).toMatchObject({ vocabularySize: 49_152, bosToken: 1, eosToken: 2, addBos: false });
      expect([...tokenizer.endOfGeneration].sort()).toEqual([0, 2]);
      expect([...tokenizer.encode('<|im_end|>')]).toEqual([2]);
      expect(tokenizer.encode('<|im_end|>', { special: false }).length).toBeGreaterThan(1);
    });

    it('gives back any text but for the characters that it names', () => {
      fc.assert(
        fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, special) => {
          const lacking = tokenizer.unencodable(text);
          const encodable = Array.from(text)
            .filter((character) => !lacking.includes(character))
            .join('');
          expect(tokenizer.decode(tokenizer.encode(encodable, { special }))).toBe(encodable);
          if (lacking !== '') expect(tokenizer.decode(tokenizer.encode(text, { special }))).not.toBe(text);
        }),
      );
    });
  });

  it('is the same from both', () => {
    const unit = fc.constantFrom(
      'the',
      ' of',
      'é',
      '½',
      '٣',
      '7',
      '\u0085',
      '\ufeff',
      '\u3000',
      ' ',
      '\n',
      "'s",
      '<|im_end|>',
      '🌍',
    );
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit }), fc.string({ unit: 'binary' })), fc.boolean(), (text, special) => {
        expect(fromGguf.encode(text, { special })).toEqual(fromJson.encode(text, { special }));
      }),
      { numRuns: 300 },
    );
  });

  it('encodes 40,000 characters in well below a second', () => {
    const text = readFileSync(textPath as string, 'utf8').slice(100_000, 140_000);
    // With nothing remembered; the best of three, since the machine may be busy.
    const runs = [1, 2, 3].map(() => {
      const tokenizer = createTokenizer(file);
      const start = performance.now();
      const ids = tokenizer.encode(text);
      return { milliseconds: performance.now() - start, ids };
    });
    expect(Math.min(...runs.map(({ milliseconds }) => milliseconds))).toBeLessThan(1000);
    expect(runs[0]?.ids.length).toBeGreaterThan(8_000);
  });
});
