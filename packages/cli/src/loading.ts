/** Shows how a model is loaded: downloads, the segments being built, the precision being chosen. */
import type { LoadOptions } from '@keysieve/llm';
import { createProgress, type Progress } from './terminal.ts';

const PHASES = {
  download: { label: 'downloading', unit: 'bytes' },
  hash: { label: 'hashing the model', unit: 'bytes' },
  verify: { label: 'verifying the prepared model', unit: 'bytes' },
  build: { label: 'preparing the model', unit: 'bytes' },
  load: { label: 'loading', unit: 'segments' },
  calibrate: { label: 'choosing the precision', unit: 'tokens' },
} as const;

/** The part of the options of `loadModel` that draws progress on stderr. */
export function showLoading(): Pick<LoadOptions, 'onProgress'> {
  const bars = new Map<string, Progress>();
  return {
    onProgress({ phase, done, total }) {
      let bar = bars.get(phase);
      if (bar === undefined) {
        bar = createProgress(PHASES[phase].label, PHASES[phase].unit);
        bars.set(phase, bar);
      }
      bar.update(done, total);
      if (done >= total) {
        bar.stop();
        bars.delete(phase);
      }
    },
  };
}
