/**
 * Full attention of the same model as the other side of a comparison: a session of its own, whose cache keeps exact rows
 * alone. What is compared is attention; all else is the same.
 */
import type { Model, Session } from '@keysieve/llm';
import { logSoftmax } from '../numerics/softmax.ts';
import type { Peer } from './peer.ts';

/** The name under which it is asked for. */
export const DENSE_PEER = 'dense';

const DENSE = { policy: 'dense' };

export async function createDensePeer(model: Model): Promise<Peer> {
  const session: Session = await model.createSession({ attention: DENSE });

  async function evaluate(tokens: readonly number[]): Promise<number> {
    const started = performance.now();
    for await (const _ of session.evaluate(Int32Array.from(tokens), { attention: DENSE })) {
      // The time is what is asked for.
    }
    return performance.now() - started;
  }

  return {
    versions: {},
    tokenize: (text) => [...model.tokenizer.encode(text)],
    async prefill(tokens) {
      session.truncate(0);
      return await evaluate(tokens);
    },
    async decode(tokens) {
      const times: number[] = [];
      for (const token of tokens) times.push(await evaluate([token]));
      return times;
    },
    async rewind(length) {
      session.truncate(length);
    },
    async predictions(prompt, next) {
      session.truncate(0);
      const tokens = Int32Array.from([...prompt, ...next.slice(0, -1)]);
      const rows: Float64Array[] = [];
      let position = 0;
      for await (const { logits } of session.evaluate(tokens, { attention: DENSE, chunkTokens: 1 })) {
        if (position++ >= prompt.length - 1) rows.push(logSoftmax(logits).map(Math.exp));
      }
      return rows;
    },
    dispose: () => session.dispose(),
  };
}
