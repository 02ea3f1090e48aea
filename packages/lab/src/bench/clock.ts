/** Milliseconds by the clock, and of the processor for all threads of this process. */
export interface Time {
  wall: number;
  /** Other work on the machine disturbs it less. */
  cpu: number;
}

/** Milliseconds of the processor for all threads of this process. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The time from here to the call of what it returns. */
export function startClock(): () => Time {
  const [wall, cpu] = [performance.now(), processorTime()];
  return () => ({ wall: performance.now() - wall, cpu: processorTime() - cpu });
}
