/** `keysieve bench`: one file a benchmark, listed here. */
import { Command } from 'commander';
import { attentionCommand } from './bench-attention.ts';
import { memoryCommand } from './bench-memory.ts';
import { reportCommand } from './bench-report.ts';
import { scalingCommand } from './bench-scaling.ts';
import { sessionsCommand } from './bench-sessions.ts';
import { decodeCommand, prefillCommand } from './bench-speed.ts';
import { stepsCommand } from './bench-steps.ts';

const BENCHES = [
  attentionCommand,
  decodeCommand,
  prefillCommand,
  scalingCommand,
  stepsCommand,
  sessionsCommand,
  memoryCommand,
  reportCommand,
];

export function benchCommand(): Command {
  const command = new Command('bench').description(
    'measures attention, alone and in a model, against other ways and other engines',
  );
  for (const bench of BENCHES) command.addCommand(bench());
  return command;
}
