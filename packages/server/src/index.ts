/** A server for language models that clients of the OpenAI and Anthropic APIs can speak to. */

export { localModel } from './engine/local-model.ts';
export type { LoadingProgress, ModelSource } from './engine/models.ts';
export type { ServedModel, ServedSession } from './engine/session-pool.ts';
export { createLogger } from './http/log.ts';
export type { Limits, ServerOptions } from './options.ts';
export { type Server, startServer } from './server.ts';
