/** Every example of a help is a call that the command takes. */
import { registerBaselines } from '@keysieve/lab';
import { Command } from 'commander';
import { beforeAll, describe, expect, it } from 'vitest';
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
import { addExamples } from './help.ts';

const COMMANDS = {
  generate: generateCommand,
  serve: serveCommand,
  cache: cacheCommand,
  inspect: inspectCommand,
  models: modelsCommand,
  measure: measureCommand,
  eval: evalCommand,
  bench: benchCommand,
  capture: captureCommand,
  claims: claimsCommand,
  methods: methodsCommand,
  merge: mergeCommand,
  sweep: sweepCommand,
  worker: workerCommand,
  demo: demoCommand,
};

function helpOf(command: Command): string {
  let text = '';
  const writeOut = (part: string) => {
    text += part;
  };
  command.configureOutput({ writeOut }).outputHelp();
  return text;
}

/** A command, and those below it. */
const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];

describe('the help', () => {
  beforeAll(registerBaselines);

  it.each(Object.keys(COMMANDS) as (keyof typeof COMMANDS)[])('has an example that %s takes', (name) => {
    const program = new Command('keysieve').addCommand(COMMANDS[name]());
    addExamples(program);
    const [, ...commands] = all(program);
    const examples = commands.flatMap((command) => {
      const [, call] = /\nExample:\n {2}keysieve (.*)\n/.exec(helpOf(command)) ?? [];
      return call === undefined ? [] : [{ command, call }];
    });
    expect(examples.length).toBeGreaterThan(0);
    for (const { command, call } of examples) {
      const words = call.match(/'[^']*'|\S+/g) ?? [];
      const path = command.parent === program ? [name] : [name, command.name()];
      expect(words.slice(0, path.length)).toEqual(path);
      expect(command.parseOptions(words.slice(path.length)).unknown, call).toEqual([]);
    }
  });
});
