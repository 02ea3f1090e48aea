/** Numbers as people read them, on the terminal as in the pages of reports. */

import type { Spread } from '../numerics/spread.ts';

/** 12,345 */
export const formatCount = (count: number): string => Math.round(count).toLocaleString('en-US');

/** 1.5 GiB */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unitIndex = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** unitIndex;
  return `${value.toFixed(unitIndex === 0 || value >= 100 ? 0 : 1)} ${units[unitIndex]}`;
}

/** 3.2 % */
export const formatShare = (share: number): string =>
  `${(share * 100).toLocaleString('en-US', { maximumSignificantDigits: 2 })} %`;

/** Three significant digits: 0.0123, 1.23 */
export const formatNumber = (value: number, digits = 3): string =>
  value.toLocaleString('en-US', { maximumSignificantDigits: digits });

/** Numbers of tokens as people say them: 512, 8K, 1M. */
export function formatLength(tokens: number): string {
  for (const [unit, name] of [
    [2 ** 20, 'M'],
    [2 ** 10, 'K'],
  ] as const) {
    if (tokens >= unit && tokens % unit === 0) return `${tokens / unit}${name}`;
  }
  return formatCount(tokens);
}

/** A median with its quartiles: 1.23 (1.20 to 1.30) */
export const formatSpread = ({ median, low, high }: Spread, digits: number): string =>
  `${median.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
