/** `keysieve sweep` and `keysieve worker`: evaluations on many machines, through a queue. */
import { formatCount, writeOutput } from '@keysieve/lab';
import { printableJson } from '@keysieve/llm';
import {
  cancelSweep,
  describeStatus,
  openQueues,
  type Queues,
  queueSweep,
  readSweep,
  runWorker,
  serveStatus,
  sweepResults,
  sweepStatus,
} from '@keysieve/sweep';
import { Command } from 'commander';
import { addJsonOption, parseWholeNumber } from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { printResult } from '../tables.ts';
import { abortOnInterrupt, note, print } from '../terminal.ts';

interface Options {
  queue: string;
  json?: boolean;
  save?: string;
  page?: number;
}

export function sweepCommand(): Command {
  const command = new Command('sweep').description('evaluates many models, texts and policies on many machines');
  const queued = new Command('queue').argument('<plan>', 'YAML file, as docs/many-machines.md shows it');
  command.addCommand(
    withQueue(queued.description('checks a plan, and puts its cells into a queue'), async (queues, plan) => {
      const sweep = await readSweep(plan);
      const count = await queueSweep(queues, sweep);
      print(`${sweep.id}\n`);
      note(`${formatCount(count)} cells. Start workers: keysieve worker --queue URL --models FOLDER.`);
    }),
    { isDefault: true },
  );
  const status = onSweep('status', 'how far a sweep is, and what was set aside').option(
    '--page <port>',
    'serve a page of it on 127.0.0.1 until interrupted; 0 takes any port',
    parseWholeNumber,
  );
  command.addCommand(withQueue(addJsonOption(status), showStatus));
  const results = onSweep('results', 'what the runs of a sweep have found, as one JSON object');
  command.addCommand(withQueue(results.option('--save <file>', 'write it into this file'), showResults));
  command.addCommand(
    withQueue(onSweep('cancel', 'takes what no worker has begun out of the queue'), async (queues, id) => {
      note(`${formatCount(await cancelSweep(queues, id))} cells were taken out; results stay.`);
    }),
  );
  return command;
}

export function workerCommand(): Command {
  return new Command('worker')
    .description('computes cells of sweeps, in a process of its own, until interrupted')
    .requiredOption('--queue <url>', 'redis://HOST:PORT or postgres://USER@HOST/DATABASE')
    .option('--models <folder>', 'models and texts, which are found by their SHA-256')
    .action(async ({ queue, models }: { queue: string; models?: string }) => {
      const { signal, release } = abortOnInterrupt();
      signal.addEventListener('abort', () => note('The cell in hand is finished first. Ctrl-C again stops at once.'));
      try {
        await runWorker({ queue, models, signal, onNote: note });
      } finally {
        release();
      }
    });
}

const onSweep = (name: string, description: string): Command =>
  new Command(name).description(description).argument('<id>', 'as keysieve sweep has printed it');

function withQueue(
  command: Command,
  action: (queues: Queues, argument: string, options: Options) => Promise<void>,
): Command {
  return command
    .requiredOption('--queue <url>', 'redis://HOST:PORT or postgres://USER@HOST/DATABASE')
    .action(async (argument: string, options: Options) => {
      await using queues = await openQueues(options.queue);
      await action(queues, argument, options);
    });
}

async function showStatus(queues: Queues, id: string, { json, page }: Options): Promise<void> {
  if (page === undefined) {
    const status = await sweepStatus(queues, id);
    printResult(json, status, (width) => describeStatus(status, width));
    return;
  }
  const { signal, release } = abortOnInterrupt();
  await using served = await serveStatus(queues, id, page);
  note(`The page is ${served.url}`);
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  release();
}

async function showResults(queues: Queues, id: string, { save }: Options): Promise<void> {
  await checkOutputs({ '--save': save });
  const json = printableJson({ id, runs: await sweepResults(queues, id) });
  if (save === undefined) print(`${json}\n`);
  else await writeOutput(save, `${json}\n`);
}
