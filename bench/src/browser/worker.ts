/** The program of the page's worker. */
import '../../../packages/llm/src/browser-worker.ts';
