/** A thread of Node that does attention tasks: an entry of its own. */
import { listen } from '../../threads/node.ts';
import { serveAttention } from '../worker.ts';

serveAttention(listen);
