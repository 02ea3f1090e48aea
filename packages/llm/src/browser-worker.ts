/** The program of a worker that runs models: see `createWorkerModel`. */
import { serveEngine } from './browser/engine.ts';

// ONNX Runtime starts its threads with the file that it is in, which may be this one.
if (!globalThis.self.name.startsWith('em-pthread')) serveEngine();
