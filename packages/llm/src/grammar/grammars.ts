/** Constraints that keep answers to JSON, a JSON Schema, a regular expression or calls of tools, for one tokenizer. */

import type { CompiledGrammar, GrammarMatcher, StructuralTagFormat, TagFormat } from '@mlc-ai/web-xgrammar';
import { KeysieveError } from 'keysieve';
import { loadXGrammar } from '#platform';
import { llmError } from '../errors.ts';
import type { XGrammarInstance } from '../platform/platform.ts';
import type { TokenConstraint } from '../sampling/index.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { toXGrammarPattern } from './patterns.ts';
import { toXGrammarSchema } from './schemas.ts';

/** What an answer is held to. */
export type GrammarSpec =
  | { type: 'json' }
  /** JSON that a JSON Schema describes. */
  | { type: 'schema'; schema: Record<string, unknown> | boolean }
  /** Text that a regular expression matches as a whole. */
  | { type: 'regex'; pattern: string }
  /** Texts and calls of tools, as XGrammar's structural tags describe them. */
  | { type: 'format'; format: StructuralTagFormat };

/** A constraint of one answer; dispose of it when the answer has ended. */
export interface GrammarConstraint extends TokenConstraint {
  dispose(): void;
}

export interface Grammars {
  /**
   * Makes constraints of a grammar, one for each answer. Throws `grammar-invalid` for a schema or an expression that
   * cannot be followed, and `grammar-unavailable` for a model whose answers have no token that ends them, and in a browser.
   */
  compile(spec: GrammarSpec): Promise<() => Promise<GrammarConstraint>>;
}

/** Compiled grammars that are kept: those of the schemas and tools that clients send again and again. */
const MAX_KEPT = 32;

/** Grammars for a tokenizer; `visible` are special tokens that a grammar may ask for by their text. */
export function createGrammars(tokenizer: Tokenizer, visible: ReadonlyMap<number, string>): Grammars {
  let compiler: ReturnType<typeof createCompiler> | undefined;
  const kept = new Map<string, CompiledGrammar>();

  async function compile(spec: GrammarSpec): Promise<() => Promise<GrammarConstraint>> {
    if (tokenizer.endOfGeneration.size === 0) {
      throw llmError({
        code: 'grammar-unavailable',
        problem: 'The model has no token that ends an answer, which a grammar needs.',
        remedy: 'Leave the grammar out, or use another model.',
      });
    }
    const key = JSON.stringify(spec);
    let grammar = kept.get(key);
    compiler ??= createCompiler(tokenizer, visible);
    const { instance, compile: compileSpec } = await compiler;
    if (grammar === undefined) {
      try {
        grammar = await compileSpec(spec);
      } catch (error) {
        if (error instanceof KeysieveError) throw error;
        // The instance is of no more use; answers that are under way keep what they have of it.
        compiler = undefined;
        kept.clear();
        throw llmError({
          code: 'grammar-invalid',
          problem: `The ${spec.type === 'regex' ? 'regular expression' : 'schema'} cannot be followed.`,
          found: reason(instance),
          remedy: 'Use the keywords of JSON Schema, and regular expressions, that XGrammar knows.',
        });
      }
    }
    kept.delete(key);
    kept.set(key, grammar);
    // What is dropped here may be in use, and is freed with its instance.
    if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value as string);
    const { GrammarMatcher } = instance.library;
    const compiled = grammar;
    return async () => createConstraint(await GrammarMatcher.createGrammarMatcher(compiled));
  }

  return { compile };
}

/** The last part of what the library says, without its places in its sources. */
function reason({ lastMessage }: XGrammarInstance): string {
  const message = lastMessage()
    .replace(/^\[[A-Z]+\]\s*/, '')
    .replace(/^\S+\.cc:\d+:\s*/, '')
    .replace(/^Check failed: .*? is false:\s*/, '');
  return message.slice(0, 200) || 'it is not a JSON Schema that is known here.';
}

async function createCompiler(tokenizer: Tokenizer, visible: ReadonlyMap<number, string>) {
  const instance = await loadXGrammar();
  const { Grammar, GrammarCompiler, TokenizerInfo } = instance.library;
  const vocabulary = Array.from({ length: tokenizer.vocabularySize }, (_, id) =>
    tokenizer.isSpecial(id) && !visible.has(id) ? '' : byteLevel(tokenizer.tokenBytes(id)),
  );
  const stops = [...tokenizer.endOfGeneration];
  const info = await TokenizerInfo.createTokenizerInfo(vocabulary, 'byte_level', false, vocabulary.length, stops);
  const compiler = await GrammarCompiler.createGrammarCompiler(info, false);

  /** JSON on one line, with spaces as `JSON.stringify` of Python has them. */
  async function compile(spec: GrammarSpec): Promise<CompiledGrammar> {
    if (spec.type === 'json') return compiler.compileBuiltinJSONGrammar();
    if (spec.type === 'schema') return compiler.compileGrammar(await schemaGrammar(spec.schema));
    const format = await toXGrammarFormat(spec.type === 'regex' ? spec : spec.format);
    return compiler.compileGrammar(await Grammar.fromStructuralTag({ type: 'structural_tag', format }));
  }

  const schemaGrammar = (schema: Record<string, unknown> | boolean) =>
    Grammar.fromJSONSchema(JSON.stringify(toXGrammarSchema(schema)), false, -1, [', ', ': '], true);

  /**
   * The format, with its expressions as XGrammar follows them. Schemas inside of a format allow any space, which small models
   * fill: they are put in as grammars that do not.
   */
  async function toXGrammarFormat(format: StructuralTagFormat): Promise<StructuralTagFormat> {
    switch (format.type) {
      case 'regex':
        return { ...format, pattern: toXGrammarPattern(format.pattern, false) };
      case 'json_schema':
        return { type: 'grammar', grammar: (await schemaGrammar(format.json_schema)).toString() };
      case 'sequence':
      case 'or':
        return { ...format, elements: await Promise.all(format.elements.map(toXGrammarFormat)) };
      case 'tag':
        return { ...format, content: await toXGrammarFormat(format.content) };
      case 'triggered_tags':
      case 'tags_with_separator':
        return { ...format, tags: (await Promise.all(format.tags.map(toXGrammarFormat))) as TagFormat[] };
      default:
        return format;
    }
  }

  return { instance, compile };
}

async function createConstraint(matcher: GrammarMatcher): Promise<GrammarConstraint> {
  // The library gives masks by promises, which are settled long before the model has made the next logits.
  let allowed: Int32Array | undefined = await matcher.getNextTokenBitmask();
  let disposed = false;
  return {
    mask(logits) {
      if (allowed === undefined) throw new Error('The mask of the grammar is not ready.');
      maskLogits(logits, allowed);
    },
    accept(token) {
      if (!matcher.acceptToken(token)) throw new Error('The grammar refuses a token that it has allowed.');
      allowed = undefined;
      if (matcher.isTerminated()) return;
      void matcher.getNextTokenBitmask().then((mask) => {
        allowed = mask;
      });
    },
    dispose() {
      if (!disposed) matcher.dispose();
      disposed = true;
    },
  };
}

/** Rules out the tokens whose bit is 0, 32 at a time: most masks allow nearly all of a vocabulary, or next to nothing. */
function maskLogits(logits: Float32Array, allowed: Int32Array): void {
  for (let from = 0; from < logits.length; from += 32) {
    const bits = allowed[from >> 5] ?? 0;
    if (bits === -1) continue;
    const to = Math.min(logits.length, from + 32);
    for (let id = from; id < to; id++) if (((bits >>> (id - from)) & 1) === 0) logits[id] = Number.NEGATIVE_INFINITY;
  }
}

/** The characters that stand for bytes in byte-level vocabularies (GPT-2's `bytes_to_unicode`). */
const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
})();

const byteLevel = (bytes: Uint8Array): string => Array.from(bytes, (byte) => BYTE_CHARACTERS[byte]).join('');
