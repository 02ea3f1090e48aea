/** Facts in running text. */

export interface HiddenFact {
  text: string;
  /** 0 at the beginning, 1 at the end. */
  place: number;
}

/** That number of characters of a text, from `offset` on, with facts between its words; it is repeated as often as need be. */
export function hideFacts(filler: string, offset: number, characters: number, facts: readonly HiddenFact[]): string {
  let text = '';
  while (text.length < characters + offset) text += `${filler}\n`;
  const words = text.slice(offset, offset + characters);
  const inserted = facts
    .map(({ text: fact, place }) => ({ at: wordBoundaryAt(words, place * characters), fact }))
    .sort((a, b) => b.at - a.at);
  let result = words;
  for (const { at, fact } of inserted) result = result.slice(0, at) + fact + result.slice(at);
  return result;
}

/** The next place from `at` on where a word begins. */
function wordBoundaryAt(text: string, at: number): number {
  const place = Math.floor(at);
  if (place <= 0) return 0;
  const blank = text.indexOf(' ', place - 1);
  return blank === -1 ? text.length : blank + 1;
}
