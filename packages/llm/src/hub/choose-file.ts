/**
 * Which of a repository's GGUF files is meant where none is named.
 */
import { llmError } from '../errors.ts';
import { parsePartName } from '../gguf/index.ts';

/**
 * The quantisations that are chosen, the first that is there. Q4_0, Q4_1 and Q8_0 run as they are stored, the smallest
 * first; Q4_K_M is converted when the model is built; F16 needs the most memory.
 */
const preferred = ['Q4_0', 'Q4_1', 'Q8_0', 'Q4_K_M', 'F16'];

/**
 * The only model among `paths`, or the first by the rule above; of several the one with the shortest path, then the first
 * by name. A model that is split into several files is known by the first of them. Projectors of multimodal models (mmproj)
 * do not count. Throws `hub-file-not-found`, with the choices, where the rule finds none.
 */
export function chooseFile(repo: string, paths: readonly string[]): string {
  const models = paths.filter((path) => /\.gguf$/i.test(path) && !isLaterPart(path) && !/(^|\/)mmproj/i.test(path));
  models.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const [only, ...others] = models;
  if (only !== undefined && others.length === 0) return only;
  for (const type of preferred) {
    const match = models.find((path) => hasType(path, type));
    if (match !== undefined) return match;
  }
  throw llmError({
    code: 'hub-file-not-found',
    problem: `No file of ${repo} can be chosen by itself (${preferred.join(', ')}).`,
    found: models.length > 0 ? models.join(', ') : 'no .gguf file',
    remedy:
      models.length > 0
        ? `Name one: hf:${repo}/FILE.gguf.`
        : 'Look for a repository of the same model whose name ends in GGUF.',
  });
}

function isLaterPart(path: string): boolean {
  return (parsePartName(path)?.number ?? 1) !== 1;
}

/** Whether the file's name has the type as a word: `x-Q4_0.gguf`, but not `x-Q4_0_4_4.gguf` or `x-bf16.gguf`. */
function hasType(path: string, type: string): boolean {
  return new RegExp(`(^|[-._/])(${type === 'F16' ? 'F16|FP16' : type})(?=[-.])`, 'i').test(path);
}
