/** Tables for a terminal. */

/** Columns as wide as they need to be: the first ones, of words, to the left, numbers to the right. */
export function formatTable(names: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [names, ...rows];
  const widths = names.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const isNumber = names.map((_, column) => rows.every((row) => /^[-~<]*\s*[=]?\s*[\d.]/.test(row[column] ?? '')));
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const width = widths[column] as number;
          return isNumber[column] ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
