#!/usr/bin/env node
/** The `keysieve` command: one file a subcommand, listed here. */
import { createRequire } from 'node:module';
import { registerBaselines } from '@keysieve/lab';
import { Command, CommanderError } from 'commander';
import { benchCommand } from './commands/bench.ts';
import { cacheCommand } from './commands/cache.ts';
import { captureCommand } from './commands/capture.ts';
import { claimsCommand } from './commands/claims.ts';
import { demoCommand } from './commands/demo.ts';
import { evalCommand } from './commands/eval.ts';
import { generateCommand } from './commands/generate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { measureCommand } from './commands/measure.ts';
import { mergeCommand } from './commands/merge.ts';
import { methodsCommand } from './commands/methods.ts';
import { modelsCommand } from './commands/models.ts';
import { serveCommand } from './commands/serve.ts';
import { sweepCommand, workerCommand } from './commands/sweep.ts';
import { EXIT, reportError } from './errors.ts';
import { addExamples, helpLayout } from './help.ts';
import { brokenOutput, restoreTerminal, watchProcess } from './terminal.ts';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

/** A new subcommand is a file in commands/ and an entry here. */
const COMMANDS = [
  generateCommand,
  serveCommand,
  cacheCommand,
  inspectCommand,
  modelsCommand,
  measureCommand,
  evalCommand,
  benchCommand,
  captureCommand,
  claimsCommand,
  methodsCommand,
  mergeCommand,
  sweepCommand,
  workerCommand,
  demoCommand,
];

const program = new Command('keysieve')
  .description('Long prompts for language models on your own machine, with the error of every answer shown.')
  .version(version)
  .configureHelp(helpLayout)
  .showHelpAfterError('(run with --help for the options)')
  .exitOverride();

// Options take their choices from the policies that there are.
await registerBaselines();
for (const command of COMMANDS) program.addCommand(inheritSettings(command(), program));
addExamples(program);

watchProcess();
try {
  await program.parseAsync();
} catch (error) {
  restoreTerminal();
  process.exitCode = exitCodeOf(error);
} finally {
  restoreTerminal();
}

/** Of a command and those below it: how errors and help end it. */
function inheritSettings(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent);
  for (const each of command.commands) inheritSettings(each, command);
  return command;
}

function exitCodeOf(error: unknown): number {
  // That was reported when it happened, and has ended the work.
  if (brokenOutput() !== undefined) return Number(process.exitCode);
  // Commander has printed its own message, help and version included.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.success : EXIT.wrongCall;
  return reportError(error);
}
