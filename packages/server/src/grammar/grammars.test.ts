/** Answers that obey schemas, whatever the model would like to say. */
import { loadModel, type Model } from '@keysieve/llm';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
    const create = await createGrammars(model.tokenizer, new Map()).compile(spec, 'response_format');
    const constraint = await create();
    try {
      await using session = await model.createSession();
      // A text of which nano knows no end, so that only the grammar ends it.
      const options = { maxTokens: 400, temperature: 1, seed, constraint };
      return await session.generate('The answer as JSON: ', options).result;
    } finally {
      constraint.dispose();
    }
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

  it('follow JSON', async () => {
    const { text, finishReason } = await generate({ type: 'json' }, 1);
    if (finishReason === 'end') expect(() => JSON.parse(text)).not.toThrow();
    expect(text.trimStart()[0]).toMatch(/[[{"\dtfn-]/);
  });

  it('refuse schemas that cannot be followed, and go on', async () => {
    const grammars = createGrammars(model.tokenizer, new Map());
    const good: GrammarSpec = { type: 'schema', schema: { const: 'fine' } };
    const before = await (await grammars.compile(good, 'x'))();
    for (const schema of [{ type: 'nonsense' }, { $ref: '#/nowhere' }, { type: 'object', properties: 7 }]) {
      await expect(grammars.compile({ type: 'schema', schema }, 'response_format')).rejects.toMatchObject({
        details: { status: 400, code: 'unsupported_schema', param: 'response_format' },
      });
    }
    const logits = new Float32Array(model.tokenizer.vocabularySize);
    for (const constraint of [before, await (await grammars.compile(good, 'x'))()]) {
      logits.fill(0);
      constraint.mask(logits);
      expect([...logits.keys()].filter((id) => logits[id] === 0)).toEqual(['"'.charCodeAt(0)]);
      constraint.dispose();
    }
  });
});
