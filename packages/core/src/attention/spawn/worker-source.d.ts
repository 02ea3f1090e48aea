/** The program of `worker-browser.ts`, bundled: scripts/embed-worker.ts makes it whenever this package is bundled. */
declare const workerSource: string;
export default workerSource;
