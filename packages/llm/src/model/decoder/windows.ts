/** Reads which layers of a model see only a window of positions (`attention.sliding_window*`). */
import type { ModelHeader } from './config.ts';

export interface WindowDefaults {
  /** Positions, where the file does not say; undefined where the model then has no windows. */
  size?: number;
  /** Every `period`-th layer sees all positions. */
  period: number;
}

/** The window of each layer, its own position included; undefined for layers that see all positions. */
export function readWindows(
  { keys, layers }: ModelHeader,
  { size, period }: WindowDefaults,
): (layer: number) => number | undefined {
  const isOff = keys.has('attention.sliding_window') && keys.positiveOrNone('attention.sliding_window') === undefined;
  if (isOff || (size === undefined && !keys.has('attention.sliding_window'))) return () => undefined;
  const window = keys.count('attention.sliding_window', 2 ** 31, size);
  const pattern = keys.flags('attention.sliding_window_pattern', layers);
  if (pattern !== undefined) return (layer) => (pattern[layer] ? window : undefined);
  const everyNth = keys.count('attention.sliding_window_pattern', 2 ** 12, period);
  return (layer) => (layer % everyNth < everyNth - 1 ? window : undefined);
}
