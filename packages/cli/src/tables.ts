/** Results as a person reads them, as wide as the terminal; where stdout is none, lines are as long as they are. */
import { formatFields, formatTable, wrapLine } from '@keysieve/lab';
import { printableJson } from '@keysieve/llm';
import { print } from './terminal.ts';

const outputWidth = (): number => process.stdout.columns || Number.POSITIVE_INFINITY;

/** A table that fits the terminal. */
export const table = (names: readonly string[], rows: readonly (readonly string[])[]): string =>
  formatTable(names, rows, { width: outputWidth() });

/** Names and values that fit the terminal. */
export const fields = (rows: readonly (readonly [name: string, value: string])[]): string =>
  formatFields(rows, outputWidth());

/**
 * Prints a result: an object on one line with --json, else as `describe` puts it for a person, with its sentences broken
 * at blanks. `describe` gets the columns that there are.
 */
export function printResult(json: boolean | undefined, object: unknown, describe: (width: number) => string): void {
  const width = json ? Number.POSITIVE_INFINITY : outputWidth();
  const lines = json ? [printableJson(object)] : describe(width).split('\n');
  print(`${lines.map((line) => wrapLine(line, width)).join('\n')}\n`);
}
