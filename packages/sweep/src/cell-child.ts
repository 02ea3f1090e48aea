/** Starts the process that computes cells, and starts it again where it has ended. */
import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FromProcess, ToProcess } from './cell-process.ts';
import { sweepError } from './errors.ts';

/** Computes cells in a process of its own. */
export interface CellChild {
  /** The result of a cell as JSON. Throws with the code of the child's error, or `cell-process-ended`. */
  compute(request: ToProcess, onProgress: (done: number, total: number) => void): Promise<string>;
  /** Ends the process. */
  end(): void;
}

const PROCESS = fileURLToPath(new URL(`./cell-process${extname(import.meta.url)}`, import.meta.url));

export function createCellChild(): CellChild {
  let child: ChildProcess | undefined;
  return {
    compute: (request, onProgress) =>
      new Promise((resolve, reject) => {
        child ??= fork(PROCESS, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
        const current = child;
        const settle = (act: () => void) => {
          current.off('message', onMessage).off('exit', onExit).off('error', onExit);
          act();
        };
        const onMessage = (message: FromProcess) => {
          if ('progress' in message) onProgress(message.progress.done, message.progress.total);
          else if ('result' in message) settle(() => resolve(message.result));
          else settle(() => reject(Object.assign(new Error(message.error.message), { code: message.error.code })));
        };
        const onExit = (code: unknown, signal?: unknown) => {
          child = undefined;
          settle(() =>
            reject(
              sweepError({
                code: 'cell-process-ended',
                problem: 'The process that computed the cell has ended.',
                found: signal ? `signal ${signal}` : `${code}`,
                remedy: 'Look whether it had enough memory.',
              }),
            ),
          );
        };
        current.on('message', onMessage).on('exit', onExit).on('error', onExit);
        current.send(request);
      }),
    end() {
      child?.kill();
      child = undefined;
    },
  };
}
