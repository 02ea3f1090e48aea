/** The architectures that can be run. To add one, write its file and list it here. */
import { llmError } from '../../errors.ts';
import type { GgufFile } from '../../gguf/index.ts';
import type { Architecture } from './architecture.ts';
import llama from './llama.ts';

const architectures: readonly Architecture[] = [llama];

/** Names of the architectures that can be run. */
export const supportedArchitectures: readonly string[] = architectures.map(({ name }) => name);

/** The architecture of a file. Throws `unsupported-architecture`, and `metadata-missing` where it names none. */
export function architectureOf(gguf: GgufFile): Architecture {
  const name = gguf.metadata.string('general.architecture');
  const architecture = architectures.find((candidate) => candidate.name === name);
  if (architecture !== undefined) return architecture;
  throw llmError({
    code: 'unsupported-architecture',
    problem: 'The model has an architecture that cannot be run.',
    found: JSON.stringify(name.slice(0, 80)),
    remedy: `Use a model of one of these: ${supportedArchitectures.join(', ')}.`,
  });
}
