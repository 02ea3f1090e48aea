/**
 * Renders Jinja templates in a process of their own. A template comes with a model's file, and may loop for ever or ask
 * for all memory, which ends a process whatever limits its threads have. So the process has limits of time, of memory and
 * of the text's length, and ends where one is passed; a thread talks to it while the caller waits, so that rendering stays
 * a plain function.
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
/** Thread and process are started within this time, even where the processors are busy with other work. */
const START_MS = 60_000;
/** What V8 does not end in time, as the copying of a long text, is ended from outside so much later. */
const GRACE_MS = 1000;
/** A process that has nothing to do is ended after this time. */
const IDLE_MS = 30_000;

/** What the process runs: it answers each request, and leaves when the thread is gone. */
const RENDERER = `
  const { Template } = require(process.argv[1]);
  const vm = require('node:vm');
  const context = vm.createContext({ work: undefined });
  const script = new vm.Script('work()');
  let parsed = { source: undefined, template: undefined };
  const render = ({ source, variables, characters, milliseconds }) => {
    let stage = 'parse';
    let text = '';
    context.work = () => {
      if (parsed.source !== source) parsed = { source, template: new Template(source) };
      stage = 'render';
      if (variables !== undefined) text = parsed.template.render(variables);
    };
    try {
      script.runInContext(context, { timeout: milliseconds });
      return text.length > characters ? { failed: 'limit', found: 'a text of ' + text.length + ' characters' } : { text };
    } catch (error) {
      if (error?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return { failed: 'limit' };
      return { failed: stage, found: error instanceof Error ? error.message : String(error) };
    }
  };
  process.on('message', (request) => process.send(render(request)));
  process.on('disconnect', () => process.exit());
  process.send('ready');
`;

/** What the thread runs: it has the process answer each request on the port, and then wakes who waits at the signal. */
const PROGRAM = `
  const { spawn } = require('node:child_process');
  const { workerData: { renderer, library, heapMb, graceMs, port, signal } } = require('node:worker_threads');
  let renderingProcess, request, timer;
  let isReady = false;
  const answer = (result) => {
    clearTimeout(timer);
    request = undefined;
    port.postMessage(result);
    Atomics.add(signal, 0, 1);
    Atomics.notify(signal, 0);
  };
  const ask = () => {
    timer = setTimeout(() => renderingProcess?.kill('SIGKILL'), request.milliseconds + graceMs);
    renderingProcess.send(request);
  };
  const start = () => {
    const started = spawn(process.execPath, ['--max-old-space-size=' + heapMb, '-e', renderer, library], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
      windowsHide: true,
    });
    isReady = false;
    started.on('message', (message) => {
      if (message !== 'ready') return answer(message);
      isReady = true;
      if (request !== undefined) ask();
    });
    const end = () => {
      if (renderingProcess !== started) return;
      renderingProcess = undefined;
      if (request !== undefined) answer(isReady ? { failed: 'limit' } : { failed: 'limit', found: 'no process to render it in' });
    };
    started.on('error', end);
    started.on('exit', end);
    return started;
  };
  port.on('message', (message) => {
    request = message;
    if (renderingProcess === undefined) renderingProcess = start();
    else if (isReady) ask();
  });
`;

interface TemplateThread {
  worker: Worker;
  port: MessagePort;
  /** Counts answers. */
  signal: Int32Array;
}

/** A failure of a limit says what was found only where that was not time or memory. */
type TemplateAnswer = { text: string } | { failed: 'parse' | 'render' | 'limit'; found?: string };

let thread: TemplateThread | undefined;
let idle: NodeJS.Timeout | undefined;

/** Parses or renders a template. Never throws. */
export function runTemplate(request: TemplateRequest, limits: TemplateLimits = LIMITS): TemplateResult {
  clearTimeout(idle);
  thread ??= startThread();
  const { port, signal } = thread;
  const answers = Atomics.load(signal, 0);
  try {
    port.postMessage({ ...request, ...limits });
  } catch (error) {
    return { failed: 'render', found: error instanceof Error ? error.message : String(error) };
  }
  Atomics.wait(signal, 0, answers, START_MS + limits.milliseconds + 2 * GRACE_MS);
  const answer = receiveMessageOnPort(port)?.message as TemplateAnswer | undefined;
  if (answer === undefined) {
    endThread();
    return { failed: 'limit', found: 'no thread to render it in' };
  }
  idle = setTimeout(endThread, IDLE_MS).unref();
  if ('text' in answer) return answer;
  return { found: `no end within ${limits.milliseconds / 1000} s and ${HEAP_MB} MB of memory`, ...answer };
}

function startThread(): TemplateThread {
  const { port1: port, port2 } = new MessageChannel();
  const signal = new Int32Array(new SharedArrayBuffer(4));
  const library = createRequire(import.meta.url).resolve('@huggingface/jinja');
  const worker = new Worker(PROGRAM, {
    eval: true,
    workerData: { renderer: RENDERER, library, heapMb: HEAP_MB, graceMs: GRACE_MS, port: port2, signal },
    transferList: [port2],
    execArgv: [],
    // What changes how Node starts, such as loaders, is not for a renderer; Electron runs as Node where it is asked to.
    env: { ...process.env, NODE_OPTIONS: '', ELECTRON_RUN_AS_NODE: '1' },
  });
  worker.unref();
  // Whoever waits for its answer learns of it by the limit of time.
  worker.on('error', () => {});
  return { worker, port, signal };
}

function endThread(): void {
  void thread?.worker.terminate();
  thread = undefined;
}
