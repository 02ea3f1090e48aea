/** No estimate: the tail is dropped, and the weights of the selected keys are scaled up to fill its place. */
import type { Tail } from './tail.ts';

export default function createNone(): Tail {
  return {
    name: 'none',
    encodings: [],
    dropsTail: true,
    requiresSample: false,
    add: () => ({ bytesRead: 0, keysQuantized: 0 }),
  };
}
