/**
 * JSON Schemas as XGrammar (0.1.27) follows them. It puts the names of properties into its grammar as they are, where a
 * quotation mark or a backslash ends or spoils a string; patterns it takes as `patterns.ts` says.
 */
import { toXGrammarPattern } from './patterns.ts';

export type JsonSchema = Record<string, unknown> | boolean;

/** Keywords whose value is a schema, or a list of schemas. */
const SCHEMAS = new Set([
  'items',
  'prefixItems',
  'additionalItems',
  'unevaluatedItems',
  'contains',
  'additionalProperties',
  'unevaluatedProperties',
  'propertyNames',
  'anyOf',
  'oneOf',
  'allOf',
  'not',
  'if',
  'then',
  'else',
]);
/** Keywords whose value has schemas by name. */
const NAMED_SCHEMAS = new Set(['$defs', 'definitions', 'dependentSchemas']);

/** The schema for XGrammar. Throws as `toXGrammarPattern` does. */
export function toXGrammarSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(toXGrammarSchema);
  if (typeof schema !== 'object' || schema === null) return schema;
  return mapEntries(schema, (keyword, value) => [keyword, translate(keyword, value)]);
}

function translate(keyword: string, value: unknown): unknown {
  if (SCHEMAS.has(keyword)) return toXGrammarSchema(value);
  if (keyword === 'pattern' && typeof value === 'string') return toXGrammarPattern(value, true);
  if (keyword === 'required' && Array.isArray(value)) return value.map((name) => escapeName(String(name)));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  if (NAMED_SCHEMAS.has(keyword)) return mapEntries(value, (name, each) => [name, toXGrammarSchema(each)]);
  if (keyword === 'properties') return mapEntries(value, (name, each) => [escapeName(name), toXGrammarSchema(each)]);
  if (keyword === 'patternProperties') {
    return mapEntries(value, (name, each) => [toXGrammarPattern(name, true), toXGrammarSchema(each)]);
  }
  return value;
}

const mapEntries = (value: object, map: (name: string, each: unknown) => [string, unknown]) =>
  Object.fromEntries(Object.entries(value).map(([name, each]) => map(name, each)));

/** A name as JSON writes it, escaped once more for the string of a grammar; names without escapes stay as they are. */
function escapeName(name: string): string {
  const inJson = JSON.stringify(name).slice(1, -1);
  return inJson === name ? name : inJson.replaceAll(/[\\"]/g, '\\$&');
}
