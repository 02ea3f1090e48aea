/** Where a weights file is: at a path, or in memory. */
import type { StoredFile } from '../io/store.ts';

/** The name by which graphs call it. */
export const weightsFileName = 'weights.bin';

export type WeightsLocation = Pick<StoredFile, 'path' | 'bytes'>;
