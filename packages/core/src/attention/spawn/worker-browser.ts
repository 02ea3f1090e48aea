/** A thread of the browser that does attention tasks: an entry of its own. */
import { listen } from '../../threads/browser.ts';
import { serveAttention } from '../worker.ts';

serveAttention(listen);
