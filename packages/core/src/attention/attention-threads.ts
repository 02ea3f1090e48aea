/** The worker threads that do attention: one pool for all attentions of a thread. */
import { spawnAttentionThread } from '#attention-threads';
import { createThreadPool } from '../threads/pool.ts';

/** The helpers of all attentions of this thread. */
export const attentionThreads = createThreadPool({ spawn: spawnAttentionThread });
