/**
 * Turns the telemetry of ONNX Runtime off. Its official builds write a device id and a database of events below the
 * user's home folder and send them, unless an environment variable is set before the first session of the process
 * (onnxruntime docs/Privacy.md; it has no option of the JavaScript API).
 */
import { isMainThread } from 'node:worker_threads';
import { llmError } from '../../errors.ts';

const OPT_OUT = 'ORT_DISABLE_TELEMETRY';
/** How long the main thread may be busy when a worker asks it to opt out. */
const MAIN_THREAD_TIMEOUT_MS = 10_000;

let optedOut: Promise<void> | undefined;

/**
 * Resolves once ONNX Runtime may be started. Throws `backend-failed` where the process cannot opt out, which is
 * possible only in a worker whose main thread does not answer.
 */
export function disableTelemetry(): Promise<void> {
  optedOut ??= optOut();
  return optedOut;
}

async function optOut(): Promise<void> {
  process.env[OPT_OUT] = '1';
  // A worker's `process.env` is a copy, and the library reads the environment of the process.
  if (!isMainThread) await optOutOfMainThread();
}

/** Sets the variable from a worker: only code of the main thread can change the environment of the process. */
async function optOutOfMainThread(): Promise<void> {
  const { Session } = await import('node:inspector');
  const session = new Session();
  try {
    session.connectToMainThread();
    await new Promise<void>((resolve, reject) => {
      // The timer also keeps the worker's event loop alive, which the session does not.
      const timeout = setTimeout(() => reject(new Error('the main thread does not answer')), MAIN_THREAD_TIMEOUT_MS);
      session.post('Runtime.evaluate', { expression: `process.env.${OPT_OUT} = '1'` }, (error, answer) => {
        clearTimeout(timeout);
        if (error ?? answer?.exceptionDetails) reject(error ?? new Error(answer.exceptionDetails?.text));
        else resolve();
      });
    });
  } catch (cause) {
    optedOut = undefined;
    throw llmError({
      code: 'backend-failed',
      problem: 'The telemetry of ONNX Runtime cannot be turned off from this worker.',
      found: cause instanceof Error ? cause.message : String(cause),
      remedy: `Set ${OPT_OUT}=1 in the environment of the process, and load the model again.`,
      cause,
    });
  } finally {
    session.disconnect();
  }
}
