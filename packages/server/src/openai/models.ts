/** `GET /v1/models` and `/health`. */
import type { ModelStatus } from '../engine/models.ts';
import { ApiError } from '../http/api-error.ts';

const STARTED = Math.floor(Date.now() / 1000);

const describe = ({ id, state, loaded }: ModelStatus) => ({
  id,
  object: 'model',
  created: STARTED,
  owned_by: 'keysieve',
  state,
  ...(loaded !== undefined && {
    meta: {
      n_ctx: loaded.model.contextLength,
      n_vocab: loaded.model.tokenizer.vocabularySize,
      name: loaded.model.name,
    },
  }),
});

export const describeModels = (models: readonly ModelStatus[]) => ({ object: 'list', data: models.map(describe) });

/** Throws `model_not_found`. */
export function describeModel(models: readonly ModelStatus[], id: string) {
  const model = models.find((each) => each.id === id);
  if (model !== undefined) return describe(model);
  throw new ApiError({
    status: 404,
    type: 'invalid_request_error',
    code: 'model_not_found',
    message: 'There is no model of this name here.',
    param: 'model',
  });
}

/** Ready as soon as the first model is; with 503 before, and when the server stops. */
export function health(models: readonly ModelStatus[], isStopping: boolean) {
  const first = models[0] as ModelStatus;
  if (!isStopping && first.state === 'ready') return { status: 200 as const, body: { status: 'ok' } };
  const status = isStopping ? 'stopping' : first.state;
  return { status: 503 as const, body: { status, ...(first.progress && { progress: first.progress }) } };
}
