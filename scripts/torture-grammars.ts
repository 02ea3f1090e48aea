/**
 * Answers that are held to JSON Schemas, and what that costs: `npm run torture:grammars -- [MODEL [SCHEMAS [SEED]]]`. A
 * model writes a document for each schema at temperature 1; a validator reads them all. The time of a token is processor
 * time of the whole process, as many tokens with a schema and without in turns, in rounds of some schemas. Ends with code
 * 1 where a document does not validate.
 */
import { loadModel, type Session } from '@keysieve/llm';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { spreadOf } from '../packages/lab/src/numerics/spread.ts';
import { type JsonSchema, randomSchemas } from '../packages/llm/test/json-schemas.ts';

const [source = 'nano', count = '200', seed = '1'] = process.argv.slice(2);
const PROMPT = 'The answer as JSON: ';
const MAX_TOKENS = 1500;
const SCHEMAS_PER_ROUND = 10;

await using model = await loadModel(source, { threads: 1, context: 2048 });
await using session = await model.createSession();
const endless = {
  mask(logits: Float32Array) {
    for (const token of model.tokenizer.endOfGeneration) logits[token] = Number.NEGATIVE_INFINITY;
  },
  accept() {},
};

interface Answer {
  text: string;
  finishReason: string;
  tokens: number;
  cpuMs: number;
}

async function answer(each: Session, options: Parameters<Session['generate']>[1]): Promise<Answer> {
  const before = process.cpuUsage();
  const result = await each.generate(PROMPT, { temperature: 1, promptLookup: false, ...options }).result;
  const { user, system } = process.cpuUsage(before);
  const { text, finishReason, tokens } = result;
  return { text, finishReason, tokens: tokens.length, cpuMs: (user + system) / 1000 };
}

function validate(schema: JsonSchema, text: string): string | undefined {
  const ajv = new Ajv2020({ strict: false });
  try {
    return ajv.validate(schema, JSON.parse(text)) ? undefined : ajv.errorsText();
  } catch (error) {
    return String(error);
  }
}

let [broken, tokens, rounds] = [0, 0, [] as number[]];
let round = { held: 0, free: 0 };
const schemas = randomSchemas(Number(count), Number(seed));
for (const [i, schema] of schemas.entries()) {
  const held = { maxTokens: MAX_TOKENS, seed: i, grammar: { type: 'schema', schema } } as const;
  // Compiles the grammar, and gives the document; what is timed is the same document again.
  const { text, finishReason } = await answer(session, held);
  const problem = finishReason === 'end' ? validate(schema, text) : `ended by ${finishReason}`;
  if (problem !== undefined) {
    broken++;
    console.log(`BROKEN  ${problem}\n        ${JSON.stringify(schema)}\n        ${text.slice(0, 300)}`);
  }
  const again = await answer(session, held);
  // One token less: the one that ends the document is drawn, and not counted.
  const free = await answer(session, { maxTokens: again.tokens + 1, seed: i, constraint: endless });
  tokens += again.tokens;
  round = { held: round.held + again.cpuMs, free: round.free + free.cpuMs };
  if (i % SCHEMAS_PER_ROUND !== SCHEMAS_PER_ROUND - 1) continue;
  rounds.push(round.held / round.free);
  round = { held: 0, free: 0 };
}
const ratio = spreadOf(rounds);
console.log(
  `${model.name}: ${schemas.length - broken} of ${schemas.length} documents validate; a token takes ` +
    `${ratio.median.toFixed(3)} x (${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}) the processor time of one ` +
    `without a schema, ${tokens} tokens in ${rounds.length} rounds`,
);
process.exit(broken === 0 ? 0 : 1);
