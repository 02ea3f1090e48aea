/** No estimate: unselected keys are dropped, and the softmax is over the selected ones alone. */
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
