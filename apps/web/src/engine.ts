/** The program of the page's worker. */
import '@keysieve/llm/browser-worker';
