/** A chat: its messages become a prompt, and its answers text and calls of tools. */
import type { GenerationResult, TokenProbabilities } from '@keysieve/llm';
import type { LoadedModel } from '../engine/models.ts';
import type { ChatJob } from './job.ts';
import { runJob, type Service } from './run.ts';

export type FinishReason = 'stop' | 'length' | 'tool_calls';

/** A call of a tool, complete. */
export interface AnsweredCall {
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
}

export type ChatEvent =
  | { type: 'prepared'; loaded: LoadedModel; promptTokens: number }
  | { type: 'prefill'; total: number; cached: number; processed: number; milliseconds: number }
  | { type: 'text'; choice: number; text: string; probabilities: TokenProbabilities[] }
  | { type: 'call'; choice: number; index: number; call: AnsweredCall }
  | { type: 'end'; choice: number; finishReason: FinishReason; result: GenerationResult };

/** Runs a chat. Throws as `runJob` does. */
export async function* runChat(service: Service, job: ChatJob, signal: AbortSignal): AsyncGenerator<ChatEvent, void> {
  const prepare = ({ model }: LoadedModel) => ({ prompts: [model.encode(job.messages)] });
  for await (const event of runJob(service, job, prepare, signal)) {
    if (event.type === 'token') {
      const { choice, text, probabilities } = event;
      yield { type: 'text', choice, text, probabilities: probabilities === undefined ? [] : [probabilities] };
    } else if (event.type === 'end') {
      const { choice, result } = event;
      yield { type: 'end', choice, finishReason: finishReason(result), result };
    } else yield event;
  }
}

export const finishReason = ({ finishReason: reason }: GenerationResult): 'stop' | 'length' =>
  reason === 'end' || reason === 'stop' ? 'stop' : 'length';
