/**
 * Renders Jinja templates in a thread of their own. A template comes with a model's file, and may loop for ever or ask
 * for all memory: the thread has limits of time, of memory and of the text's length, and ends where one is passed. The
 * caller waits for it, so that rendering stays a plain function.
 */
import { createRequire } from 'node:module';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { TemplateRequest, TemplateResult } from '../platform.ts';

export interface TemplateLimits {
  milliseconds: number;
  /** UTF-16 units of the rendered text. */
  characters: number;
}

const LIMITS: TemplateLimits = { milliseconds: 5000, characters: 2 ** 26 };
const HEAP_MB = 512;
/** A thread is started within this time, even where the processors are busy with other work. */
const START_MS = 60_000;
/** A thread that has nothing to do is ended after this time. */
const IDLE_MS = 30_000;

/** What the thread runs: it answers each request on the port, and then wakes who waits at the signal. */
const PROGRAM = `
  const { workerData: { library, port, signal } } = require('node:worker_threads');
  const { Template } = require(library);
  let parsed = { source: undefined, template: undefined };
  const answer = (message) => {
    port.postMessage(message);
    Atomics.add(signal, 0, 1);
    Atomics.notify(signal, 0);
  };
  port.on('message', ({ source, variables, characters }) => {
    let stage = 'parse';
    try {
      if (parsed.source !== source) parsed = { source, template: new Template(source) };
      stage = 'render';
      const text = variables === undefined ? '' : parsed.template.render(variables);
      answer(text.length > characters ? { failed: 'limit', found: 'a text of ' + text.length + ' characters' } : { text });
    } catch (error) {
      answer({ failed: stage, found: error instanceof Error ? error.message : String(error) });
    }
  });
  answer({ text: '' });
`;

interface TemplateThread {
  worker: Worker;
  port: MessagePort;
  /** Counts answers. */
  signal: Int32Array;
}

let thread: TemplateThread | undefined;
let idle: NodeJS.Timeout | undefined;

/** Parses or renders a template. Never throws. */
export function runTemplate(request: TemplateRequest, limits: TemplateLimits = LIMITS): TemplateResult {
  clearTimeout(idle);
  const running = thread ?? startThread();
  if (running === undefined) return { failed: 'limit', found: 'no thread to render it in' };
  thread = running;
  const answers = Atomics.load(running.signal, 0);
  try {
    running.port.postMessage({ ...request, characters: limits.characters });
  } catch (error) {
    return { failed: 'render', found: error instanceof Error ? error.message : String(error) };
  }
  Atomics.wait(running.signal, 0, answers, limits.milliseconds);
  const answer = receiveMessageOnPort(running.port)?.message as TemplateResult | undefined;
  if (answer === undefined) {
    endThread();
    return {
      failed: 'limit',
      found: `no end within ${limits.milliseconds / 1000} s and ${HEAP_MB} MB of memory`,
    };
  }
  idle = setTimeout(endThread, IDLE_MS).unref();
  return answer;
}

function startThread(): TemplateThread | undefined {
  const { port1: port, port2 } = new MessageChannel();
  const signal = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(PROGRAM, {
    eval: true,
    workerData: { library: createRequire(import.meta.url).resolve('@huggingface/jinja'), port: port2, signal },
    transferList: [port2],
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  worker.unref();
  // A thread that has run out of memory; whoever waits for its answer learns of it by the limit of time.
  worker.on('error', () => {});
  Atomics.wait(signal, 0, 0, START_MS);
  const started = receiveMessageOnPort(port) !== undefined;
  if (!started) void worker.terminate();
  return started ? { worker, port, signal } : undefined;
}

function endThread(): void {
  void thread?.worker.terminate();
  thread = undefined;
}
