/**
 * The program of a worker that runs models, for pages without a bundler: it is built with all that it imports, but for ONNX
 * Runtime, whose address it is given as `?runtime=`.
 */
import { serveEngine } from './browser/engine.ts';

serveEngine();
