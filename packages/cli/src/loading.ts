/** Shows how a model is loaded: one figure for all of it, and what is done now. */
import { formatBytes, formatCount } from '@keysieve/lab';
import type { LoadOptions, LoadProgress } from '@keysieve/llm';
import { createProgress } from './terminal.ts';

const PHASES: Record<LoadProgress['phase'], { what: string; format: (amount: number) => string }> = {
  download: { what: 'downloading', format: formatBytes },
  hash: { what: 'hashing', format: formatCount },
  verify: { what: 'checking what is prepared', format: formatCount },
  build: { what: 'preparing', format: formatBytes },
  load: { what: 'starting segments', format: formatCount },
  calibrate: { what: 'choosing the precision', format: formatCount },
};

/** The part of the options of `loadModel` that draws progress on stderr. */
export function showLoading(): Pick<LoadOptions, 'onProgress'> {
  const bar = createProgress('loading', '%');
  return {
    onProgress({ phase, done, total, overall }) {
      const { what, format } = PHASES[phase];
      bar.update(Math.floor(100 * overall), 100, ` | ${what} ${format(done)} of ${format(total)}`);
      // What comes next may be a result: the bar is drawn again where it is more of this.
      if (done >= total) bar.stop();
    },
  };
}
