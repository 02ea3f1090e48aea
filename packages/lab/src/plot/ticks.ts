/** Ticks of logarithmic axes. */

/** Powers of two from the first to the last number, at most `most` of them: every second one, or third, is left out. */
export function octaveTicks(from: number, to: number, maxTicks = 6): number[] {
  const [first, last] = [Math.ceil(Math.log2(from) - 0.1), Math.floor(Math.log2(to) + 0.1)];
  const step = Math.max(1, Math.ceil((last - first + 1) / maxTicks));
  // From the end, whose number is the one that is looked for.
  const count = Math.floor((last - first) / step) + 1;
  return Array.from({ length: count }, (_, i) => 2 ** (last - (count - 1 - i) * step));
}

/** Powers of ten, with 2 and 5 between them where there are few. */
export function decadeTicks(numbers: readonly number[]): number[] {
  const positive = numbers.filter((x) => x > 0);
  const [from, to] = [Math.min(...positive), Math.max(...positive)];
  const steps = to / from > 300 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let decade = Math.floor(Math.log10(from)); decade <= Math.log10(to); decade++) {
    // Powers of a whole exponent are not exact below 1; numbers read from text are.
    ticks.push(...steps.map((step) => Number(`${step}e${decade}`)));
  }
  const within = ticks.filter((tick) => tick >= from / 1.05 && tick <= to * 1.05);
  return within.length > 0 ? within : [...new Set([from, to])];
}
