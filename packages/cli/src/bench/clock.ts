/** Milliseconds of the processor for all threads of this process: other work on the machine disturbs them less. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
