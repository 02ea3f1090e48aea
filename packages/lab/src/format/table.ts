/** Tables for a terminal. */

export interface TableOptions {
  /** Columns that there are. A wider table is divided. Default: no limit. */
  width?: number | undefined;
}

const GAP = 2;
const INDENT = '  ';
/** Values in less than this go below their names. */
const MIN_VALUE_WIDTH = 30;

/**
 * Columns as wide as they need to be: the first ones, of words, to the left, numbers to the right. Where they need more
 * than there is, columns go on below, beside the first one again; where that is not enough, every row is a list.
 */
export function formatTable(
  names: readonly string[],
  rows: readonly (readonly string[])[],
  { width = Number.POSITIVE_INFINITY }: TableOptions = {},
): string {
  const lines = [names, ...rows];
  const widths = names.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const blocks = divideColumns(widths, width);
  if (blocks === undefined) return formatRecords(names, rows, width);
  const isNumber = names.map((_, column) => rows.every((row) => /^[-~<]*\s*[=]?\s*[\d.]/.test(row[column] ?? '')));
  const format = (line: readonly string[], columns: readonly number[]) =>
    columns
      .map((column) => {
        const [cell, size] = [line[column] ?? '', widths[column] as number];
        return isNumber[column] ? cell.padStart(size) : cell.padEnd(size);
      })
      .join(' '.repeat(GAP))
      .trimEnd();
  return blocks.map((columns) => lines.map((line) => format(line, columns)).join('\n')).join('\n\n');
}

/** The columns of each block, the first one in all of them; undefined where one does not fit beside it. */
function divideColumns([first = 0, ...others]: readonly number[], width: number): number[][] | undefined {
  const blocks: number[][] = [[0]];
  let used = first;
  for (const [i, size] of others.entries()) {
    if (used + GAP + size > width) {
      if (first + GAP + size > width || first > width / 2) return undefined;
      blocks.push([0]);
      used = first;
    }
    (blocks.at(-1) as number[]).push(i + 1);
    used += GAP + size;
  }
  return first > width ? undefined : blocks;
}

/** Each row as its first cell, and the others below it with their names. */
function formatRecords(names: readonly string[], rows: readonly (readonly string[])[], width: number): string {
  return rows
    .map(([first = '', ...cells]) => {
      const fields = cells.flatMap((cell, i) => (cell === '' ? [] : [`${INDENT}${names[i + 1] || 'also'}: ${cell}`]));
      return [first, ...fields].map((line) => wrapLine(line, width)).join('\n');
    })
    .join('\n');
}

/** A line that is broken at blanks, so that none is longer; what goes on is indented, by two columns more than the line. */
export function wrapLine(line: string, width: number): string {
  if (line.length <= width) return line;
  const indent = `${/^ */.exec(line)?.[0] ?? ''}${INDENT}`;
  const broken: string[] = [];
  let rest = line;
  while (rest.length > width) {
    const start = /^ */.exec(rest)?.[0].length ?? 0;
    const before = rest.lastIndexOf(' ', width);
    const at = before > start ? before : rest.indexOf(' ', Math.max(start, width));
    if (at === -1) break;
    broken.push(rest.slice(0, at).trimEnd());
    rest = indent + rest.slice(at).trimStart();
  }
  return [...broken, rest].filter((each) => each.trim() !== '').join('\n');
}

/** Names in front of their values, which are broken at blanks so that no line is longer than `width`. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[], width = Infinity): string {
  const size = Math.max(...fields.map(([name]) => name.length)) + GAP;
  if (width - size < MIN_VALUE_WIDTH) {
    return fields.flatMap(([name, value]) => [name, wrapLine(INDENT + value, width)]).join('\n');
  }
  return fields
    .flatMap(([name, value]) => {
      const lines = wrapLine(value, Math.max(1, width - size - INDENT.length)).split('\n');
      return lines.map((line, i) =>
        `${(i === 0 ? name : '').padEnd(size)}${i === 0 ? line : `${INDENT}${line.trimStart()}`}`.trimEnd(),
      );
    })
    .join('\n');
}
