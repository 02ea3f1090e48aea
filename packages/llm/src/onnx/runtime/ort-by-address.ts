/**
 * `#onnxruntime-web` without a bundler: a worker knows no import map, so that the page names the module's address in that
 * of the worker (`?runtime=`).
 */
import type * as ort from 'onnxruntime-web/wasm';
import { llmError } from '../../errors.ts';

export async function loadOrt(): Promise<typeof ort> {
  const address = new URL(globalThis.location.href).searchParams.get('runtime');
  if (address !== null) return import(/* webpackIgnore: true */ /* @vite-ignore */ address);
  throw llmError({
    code: 'backend-failed',
    problem: 'The worker does not know where ONNX Runtime is.',
    found: 'an address without ?runtime=',
    remedy: "Add ?runtime= with the address of onnxruntime-web/wasm (import.meta.resolve gives it) to the worker's.",
  });
}
