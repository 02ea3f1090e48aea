/** The names of the files that `llama-gguf-split` makes of one model: NAME-00001-of-00003.gguf, ... */

/** A part of a model by the name of its file: its number, from 1 on, and the number of all parts. */
export interface PartName {
  number: number;
  count: number;
  /** The names of all parts, in order. */
  names: string[];
}

const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** The most parts that are taken at their word. */
const MAX_PARTS = 1000;

/** What a name or path says of parts; undefined for a file that is whole. */
export function parsePartName(name: string): PartName | undefined {
  const [, stem, number, total] = PART_NAME.exec(name) ?? [];
  const count = Number(total);
  if (stem === undefined || !(count >= 1 && count <= MAX_PARTS)) return undefined;
  const names = Array.from({ length: count }, (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${total}.gguf`);
  return { number: Number(number), count, names };
}
