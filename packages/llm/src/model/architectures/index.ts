/** The architectures that can be run. To add one, write its file and list it here. */
import { llmError } from '../../errors.ts';
import type { GgufFile } from '../../gguf/index.ts';
import type { Architecture } from '../decoder/architecture.ts';
import cohere2 from './cohere2.ts';
import exaone4 from './exaone4.ts';
import gemma from './gemma.ts';
import gemma2 from './gemma2.ts';
import gemma3 from './gemma3.ts';
import glm4 from './glm4.ts';
import gptOss from './gpt-oss.ts';
import gptneox from './gptneox.ts';
import granite from './granite.ts';
import hunyuanDense from './hunyuan-dense.ts';
import llama from './llama.ts';
import mistral3 from './mistral3.ts';
import olmo2 from './olmo2.ts';
import phi3 from './phi3.ts';
import qwen2 from './qwen2.ts';
import qwen2moe from './qwen2moe.ts';
import qwen3 from './qwen3.ts';
import qwen3moe from './qwen3moe.ts';
import smollm3 from './smollm3.ts';
import stablelm from './stablelm.ts';
import starcoder2 from './starcoder2.ts';

const architectures: readonly Architecture[] = [
  llama,
  qwen2,
  qwen2moe,
  qwen3,
  qwen3moe,
  gptOss,
  mistral3,
  phi3,
  gemma,
  gemma2,
  gemma3,
  granite,
  smollm3,
  olmo2,
  exaone4,
  hunyuanDense,
  glm4,
  cohere2,
  stablelm,
  gptneox,
  starcoder2,
];

const STATE_LAYERS = 'Some of its layers keep a state in place of keys and values, which cannot be run yet.';
const SHARED_LAYERS =
  'Some of its layers share keys and values or have embeddings of their own, which cannot be run yet.';

/** Architectures that more than a table stands in the way of. */
const NOT_YET: ReadonlyMap<string, string> = new Map([
  ['qwen35', STATE_LAYERS],
  ['qwen35moe', STATE_LAYERS],
  ['qwen3next', STATE_LAYERS],
  ['lfm2', STATE_LAYERS],
  ['lfm2moe', STATE_LAYERS],
  ['granitehybrid', STATE_LAYERS],
  ['falcon-h1', STATE_LAYERS],
  ['nemotron_h', STATE_LAYERS],
  ['gemma3n', SHARED_LAYERS],
  ['gemma4', SHARED_LAYERS],
]);

/** Names of the architectures that can be run. */
export const supportedArchitectures: readonly string[] = architectures.map(({ name }) => name);

/** The architecture of a file. Throws `unsupported-architecture`, and `metadata-missing` where the file names none. */
export function architectureOf(gguf: Pick<GgufFile, 'metadata'>): Architecture {
  const name = gguf.metadata.string('general.architecture');
  const architecture = architectures.find((candidate) => candidate.name === name);
  if (architecture !== undefined) return architecture;
  throw llmError({
    code: 'unsupported-architecture',
    problem: `The architecture of the model is not supported. ${NOT_YET.get(name) ?? ''}`.trimEnd(),
    found: JSON.stringify(name.slice(0, 80)),
    remedy: `Use a model with one of these architectures: ${supportedArchitectures.join(', ')}.`,
  });
}
