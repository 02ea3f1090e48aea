/** The child process of a worker: computes one cell at a time, so that the worker itself is never too busy to keep its lock. */
import { resultJson } from '@keysieve/lab';
import { type CellRequest, type CellsComputer, createCellsComputer } from './compute-cells.ts';
import { inputsOf } from './inputs.ts';

/** What the worker asks for. */
export type ToProcess = CellRequest & { models: string | undefined };

/** What the child answers: how far it is, and then a result or an error. */
export type FromProcess =
  | { progress: { what: string; done: number; total: number } }
  | { result: string }
  | { error: { code: string | undefined; message: string } };

let computer: Promise<CellsComputer> | undefined;

process.on('message', async ({ models, ...request }: ToProcess) => {
  try {
    computer ??= createCellsComputer(inputsOf(models), {
      onProgress: (what, done, total) => answer({ progress: { what, done, total } }),
    });
    answer({ result: resultJson.stringify(await (await computer).compute(request)) });
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    answer({ error: { code, message } });
  }
});
// Its worker has ended, whichever way.
process.on('disconnect', () => process.exit(0));

const answer = (message: FromProcess): void => {
  process.send?.(message);
};
