/** What a caller calls a model: the path of a GGUF file, a file on the Hugging Face hub, or an address. */
import { llmError } from '../errors.ts';

export type ModelSpec =
  | { kind: 'path'; path: string }
  /** What lies at http: or https:. */
  | { kind: 'url'; url: URL }
  /** `repo` is OWNER/REPO; `file` a path in it, undefined where one is to be chosen. */
  | { kind: 'hub'; repo: string; file: string | undefined };

const prefix = 'hf:';
const name = '[A-Za-z0-9][A-Za-z0-9._-]*';
const hubSpec = new RegExp(`^(${name}/${name})(?:/(.+))?$`);

/** Throws `invalid-argument` for an empty text, for a wrong `hf:` one and for what begins like an address and is none. */
export function parseModelSpec(spec: string): ModelSpec {
  if (spec.trim() === '') throw notASpec(spec);
  if (/^https?:\/\//i.test(spec)) {
    if (!URL.canParse(spec)) throw notASpec(spec);
    return { kind: 'url', url: new URL(spec) };
  }
  if (!spec.startsWith(prefix)) return { kind: 'path', path: spec };
  const [, repo, file] = hubSpec.exec(spec.slice(prefix.length)) ?? [];
  if (repo === undefined || (file !== undefined && !isGgufPath(file))) throw notASpec(spec);
  return { kind: 'hub', repo, file };
}

/** A path that stays in its folder, shows as it is, and ends in .gguf. */
export function isGgufPath(file: string): boolean {
  const parts = file.split('/');
  const stays = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  return stays && !/[\\:\p{Cc}\p{Cf}]/u.test(file) && /\.gguf$/i.test(file);
}

function notASpec(spec: string) {
  return llmError({
    code: 'invalid-argument',
    problem: 'The model is neither a path, nor a file on the hub, nor an address.',
    found: JSON.stringify(spec),
    remedy: 'Give the path of a .gguf file, hf:OWNER/REPO, hf:OWNER/REPO/FILE.gguf, or an address (https://...).',
  });
}
