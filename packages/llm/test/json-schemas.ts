/**
 * JSON Schemas (2020-12) by a seed, with the keywords that the JSON Schema Test Suite has files for: objects, arrays and
 * tuples, enums and constants, bounds of numbers and lengths, unions, references, recursion, and names and values beyond
 * ASCII. Every schema can be met, and bounds what a document has of each kind, so that documents end.
 */
import { createRandom, type Random } from './random.ts';

export type JsonSchema = Record<string, unknown>;

const NAMES = [
  'id',
  'name',
  'tags',
  'Größe',
  'naïve',
  '都市',
  'имя',
  'a b',
  'quo"te',
  'back\\slash',
  '😀',
  '$ref',
  'x/y~z',
];
const VALUES = ['red', 'Zürich', '東京', 'Привет', '🦊🦊', 'a "word"', 'tab\tand\nline', '\\', '', 'null', '٣', 'é'];
const PATTERNS = ['^[A-Z]{2}-[0-9]{4}$', '^(ja|nein)$', '^[α-ω]{1,5}$', '^[0-9a-f]{8}$', '^v[0-9]{1,3}\\.[0-9]$'];

/** `count` schemas; another seed gives others. */
export function randomSchemas(count: number, seed: number): JsonSchema[] {
  const random = createRandom(seed);
  // Its first numbers tell neighbouring seeds little apart.
  for (let i = 0; i < 8; i++) random.integer(2);
  return Array.from({ length: count }, (_, i) => (i % 10 === 9 ? recursiveSchema(random) : schemaOf(random, 3)));
}

const pick = <Item>(random: Random, items: readonly Item[]): Item => items[random.integer(items.length)] as Item;

/** `count` items at most, in random order, none twice. */
function sample<Item>(random: Random, items: readonly Item[], count: number): Item[] {
  const rest = [...items];
  const taken: Item[] = [];
  while (taken.length < count && rest.length > 0) taken.push(...rest.splice(random.integer(rest.length), 1));
  return taken;
}

type Kind = (random: Random, depth: number) => JsonSchema;

const LEAVES: readonly Kind[] = [
  () => ({ type: 'boolean' }),
  () => ({ type: 'null' }),
  (random) => {
    const minimum = random.integer(200) - 100;
    return { type: 'integer', minimum, maximum: minimum + random.integer(1000) };
  },
  (random) => ({ type: 'integer', exclusiveMinimum: random.integer(10), exclusiveMaximum: 20 + random.integer(10) }),
  (random) => {
    const minLength = random.integer(3);
    return { type: 'string', minLength, maxLength: minLength + 1 + random.integer(12) };
  },
  (random) => ({ type: 'string', pattern: pick(random, PATTERNS) }),
  (random) => ({ enum: sample<unknown>(random, [...VALUES, 0, -1, 1.5, true, false, null], 1 + random.integer(5)) }),
  (random) => ({ const: pick<unknown>(random, [...VALUES, 17, null, true, ['a', 1], { b: '東' }]) }),
];

const BRANCHES: readonly Kind[] = [
  (random, depth) => objectOf(random, depth),
  (random, depth) => objectOf(random, depth),
  (random, depth) => {
    const minItems = random.integer(3);
    return { type: 'array', items: schemaOf(random, depth - 1), minItems, maxItems: minItems + random.integer(3) };
  },
  (random, depth) => {
    const prefixItems = Array.from({ length: 1 + random.integer(3) }, () => schemaOf(random, depth - 1));
    return { type: 'array', prefixItems, items: false, minItems: prefixItems.length };
  },
  (random, depth) => ({ anyOf: Array.from({ length: 2 + random.integer(2) }, () => schemaOf(random, depth - 1)) }),
  (random, depth) => ({
    $defs: { part: schemaOf(random, depth - 1) },
    type: 'object',
    properties: { first: { $ref: '#/$defs/part' }, second: { $ref: '#/$defs/part' } },
    required: ['first'],
    additionalProperties: false,
  }),
];

function schemaOf(random: Random, depth: number): JsonSchema {
  const kinds = depth === 0 || random.integer(5) === 0 ? LEAVES : BRANCHES;
  const schema = pick(random, kinds)(random, depth);
  // Definitions are those of the whole document.
  return depth < 3 && '$defs' in schema ? objectOf(random, depth) : schema;
}

function objectOf(random: Random, depth: number): JsonSchema {
  const names = sample(random, NAMES, 1 + random.integer(4));
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, schemaOf(random, depth - 1)])),
    required: names.filter(() => random.integer(3) > 0),
    additionalProperties: false,
  };
}

/** A tree whose nodes have at most one child more. */
const recursiveSchema = (random: Random): JsonSchema => ({
  $defs: {
    node: {
      type: 'object',
      properties: { value: schemaOf(random, 1), child: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/node' }] } },
      required: ['value', 'child'],
      additionalProperties: false,
    },
  },
  $ref: '#/$defs/node',
});
