/** Answers that obey schemas, whatever the model would like to say. */
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomSchemas } from '../../test/json-schemas.ts';
import { loadModel, type Model } from '../session/index.ts';
import { createGrammars, type GrammarSpec } from './grammars.ts';

const SCHEMAS: Record<string, unknown>[] = [
  {
    type: 'object',
    properties: {
      city: { type: 'string', enum: ['Paris', 'Zürich', '東京'] },
      days: { type: 'integer', minimum: 1, maximum: 14 },
    },
    required: ['city', 'days'],
    additionalProperties: false,
  },
  { type: 'array', items: { type: 'boolean' }, minItems: 2, maxItems: 4 },
  { enum: ['red', 'green', 3, null] },
  {
    type: 'object',
    properties: {
      child: { $ref: '#/$defs/node' },
    },
    required: ['child'],
    $defs: { node: { type: 'object', properties: { value: { const: 'x' } }, required: ['value'] } },
  },
  { anyOf: [{ type: 'null' }, { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'] }] },
];

describe('grammars', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 1024 });
  });
  afterAll(() => model.dispose());

  async function generate(spec: GrammarSpec, seed: number): Promise<{ text: string; finishReason: string }> {
    await using session = await model.createSession();
    // A text of which nano knows no end, so that only the grammar ends it.
    const options = { maxTokens: 900, temperature: 1, seed, grammar: spec };
    return await session.generate('The answer as JSON: ', options).result;
  }

  it.each(SCHEMAS.map((schema, index) => [JSON.stringify(schema).slice(0, 60), schema, index] as const))(
    'follow %s',
    async (_, schema, seed) => {
      const { text, finishReason } = await generate({ type: 'schema', schema }, seed);
      expect(finishReason).toBe('end');
      const validate = new Ajv().compile(schema);
      expect(validate(JSON.parse(text)), text).toBe(true);
    },
  );

  it.each([1, 2, 3, 4, 5])('follow any schema, as a validator reads it: round %d', async (round) => {
    for (const [seed, schema] of randomSchemas(6, round).entries()) {
      const { text, finishReason } = await generate({ type: 'schema', schema }, seed);
      expect(finishReason, JSON.stringify(schema)).toBe('end');
      const ajv = new Ajv2020({ strict: false });
      expect(ajv.validate(schema, JSON.parse(text)), `${JSON.stringify(schema)} ${text}`).toBe(true);
    }
  });

  it.each([
    '[α-ω]{1,5}',
    '[а-яё]{1,3}x',
    '[à-ü_]{2,4}',
    'é{2}[😀-😎]',
    'x[^a-z]{2}y',
    'x[^a-zα-ω]{3}y',
    '.{4}',
    '["\\\\\\n]{3}',
    'a"b\\\\c{1,3}',
    '\\w{1,3}\\s\\W\\S{2}\\D',
    '[\\d.,-]{3}',
    '\\u0416[\\x41-\\x43]',
    '(?:ja|nein){1,2}(?<end>!)',
  ])('follow the expression %s, in a string of JSON and alone', async (pattern) => {
    const expression = new RegExp(`^(?:${pattern})$`, 'u');
    for (let seed = 0; seed < 2; seed++) {
      const alone = await generate({ type: 'regex', pattern }, seed);
      expect(alone).toMatchObject({ text: expect.stringMatching(expression), finishReason: 'end' });
      const schema = { type: 'string', pattern: `^${pattern}$` };
      const { text } = await generate({ type: 'schema', schema }, seed);
      expect(JSON.parse(text)).toMatch(expression);
    }
  });

  it('refuse classes of no characters, and of thousands beyond ASCII, and go on', async () => {
    for (const pattern of ['[]a', '[^\\x00-\\x7fα]']) {
      await expect(generate({ type: 'regex', pattern }, 1)).rejects.toMatchObject({ code: 'grammar-invalid' });
    }
    const refused = generate({ type: 'regex', pattern: '[一-龥]+' }, 1);
    await expect(refused).rejects.toMatchObject({ code: 'grammar-invalid', found: expect.stringContaining('20902') });
    expect(await generate({ type: 'regex', pattern: 'ja' }, 1)).toMatchObject({ text: 'ja' });
  });

  it('follow JSON', async () => {
    const { text, finishReason } = await generate({ type: 'json' }, 1);
    if (finishReason === 'end') expect(() => JSON.parse(text)).not.toThrow();
    expect(text.trimStart()[0]).toMatch(/[[{"\dtfn-]/);
  });

  it.each(['[A-Z]{2}-\\d{4}', '(ja|nein), (東京|Zürich)'])('follow the regular expression %s', async (pattern) => {
    const { text, finishReason } = await generate({ type: 'regex', pattern }, 3);
    expect(finishReason).toBe('end');
    expect(text).toMatch(new RegExp(`^${pattern}$`));
  });

  it('refuse schemas that cannot be followed, and go on', async () => {
    const grammars = createGrammars(model.tokenizer, new Map());
    const good: GrammarSpec = { type: 'schema', schema: { const: 'fine' } };
    const before = await (await grammars.compile(good))();
    for (const schema of [{ type: 'nonsense' }, { $ref: '#/nowhere' }, { type: 'object', properties: 7 }]) {
      await expect(grammars.compile({ type: 'schema', schema })).rejects.toMatchObject({ code: 'grammar-invalid' });
    }
    const logits = new Float32Array(model.tokenizer.vocabularySize);
    for (const constraint of [before, await (await grammars.compile(good))()]) {
      logits.fill(0);
      constraint.mask(logits);
      expect([...logits.keys()].filter((id) => logits[id] === 0)).toEqual(['"'.charCodeAt(0)]);
      constraint.dispose();
    }
  });
});
