/**
 * Who may generate: a number of requests at a time, the others wait in the order in which they came. The length of the
 * queue and the time in it are limited, so that a server with too much to do says so instead of holding connections.
 */
import { unavailable } from '../http/api-error.ts';

export interface QueueLimits {
  /** Requests that generate at a time. */
  parallel: number;
  /** Requests that may wait. */
  maxWaiting: number;
  /** Milliseconds that a request may wait. */
  maxWaitMs: number;
}

export interface Queue {
  /**
   * Waits for a turn; the returned function ends it. Throws `queue_full` or `queue_timeout` (503), or the reason of
   * `signal` where it fires first.
   */
  enter(signal: AbortSignal): Promise<() => void>;
  readonly running: number;
  readonly waiting: number;
}

interface Waiter {
  admit(): void;
}

export function createQueue({ parallel, maxWaiting, maxWaitMs }: QueueLimits): Queue {
  const waiters: Waiter[] = [];
  let running = 0;
  /** Running mean of the time that a turn takes, for `Retry-After`. */
  let turnSeconds = 5;

  function startTurn(): () => void {
    const started = performance.now();
    let ended = false;
    running++;
    return () => {
      if (ended) return;
      ended = true;
      running--;
      turnSeconds += ((performance.now() - started) / 1000 - turnSeconds) / 8;
      waiters.shift()?.admit();
    };
  }

  const secondsToWait = () => Math.min(300, (turnSeconds * (waiters.length + 1)) / parallel);

  function enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (running < parallel) return Promise.resolve(startTurn());
    if (waiters.length >= maxWaiting) {
      const message = `${running} requests are being answered and ${waiters.length} wait; no more are taken.`;
      return Promise.reject(unavailable('queue_full', message, secondsToWait()));
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        admit() {
          stopWaiting();
          resolve(startTurn());
        },
      };
      const giveUp = (reason: unknown) => {
        waiters.splice(waiters.indexOf(waiter), 1);
        stopWaiting();
        reject(reason);
      };
      const onAbort = () => giveUp(signal.reason);
      const onTimeout = () =>
        giveUp(unavailable('queue_timeout', 'The request waited too long for its turn.', secondsToWait()));
      const timer = setTimeout(onTimeout, maxWaitMs);
      function stopWaiting(): void {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      }
      signal.addEventListener('abort', onAbort, { once: true });
      waiters.push(waiter);
    });
  }

  return {
    enter,
    get running() {
      return running;
    },
    get waiting() {
      return waiters.length;
    },
  };
}
