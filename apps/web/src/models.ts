/** The model of the page, and those that the browser keeps. */
import {
  createWorkerModel,
  deleteModel,
  type KeptModel,
  keepModel,
  type LoadProgress,
  listModels,
  openModel,
  persistStorage,
  type StorageState,
  type WorkerModel,
} from '@keysieve/llm/browser';
import { signal } from '@preact/signals';
import nanoUrl from '../../../models/nano/nano.gguf?url';

export interface Loading {
  phase: string;
  /** From 0 to 1. */
  overall: number;
}

export const model = signal<WorkerModel | undefined>(undefined);
export const loading = signal<Loading | undefined>(undefined);
export const problem = signal('');
export const kept = signal<readonly KeptModel[]>([]);
export const storage = signal<StorageState>({ usage: undefined, quota: undefined, persisted: false });

/** Tokens that nano and small models are stretched to. */
const CONTEXT = 32_768;

/** What the phases of loading are called. */
const PHASES: Readonly<Record<LoadProgress['phase'], string>> = {
  download: 'fetching',
  hash: 'reading',
  verify: 'checking',
  build: 'building',
  load: 'loading',
  calibrate: 'measuring',
};

let abort: AbortController | undefined;

/** Runs what may go wrong, and says so where it does. */
export async function attempt(work: () => Promise<void>): Promise<void> {
  problem.value = '';
  try {
    await work();
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

/**
 * Loads the model that comes with the page, a file of the user's, which the browser keeps from then on, or what a name or an
 * address leads to, which is fetched into the browser's storage.
 */
export const load = (source: File | string): Promise<void> =>
  loadFrom(
    async () => (source === 'nano' ? new File([await (await fetch(nanoUrl)).blob()], 'nano.gguf') : source),
    async () => {
      if (source instanceof File) await keepModel(source, { onProgress: (overall) => show('keeping', overall) });
    },
  );

/** Loads a model that the browser keeps. */
export const loadKept = (name: string): Promise<void> => loadFrom(() => openModel(name));

/** Ends what is being loaded. */
export const discard = (): void => abort?.abort();

export const forget = (name: string): Promise<void> =>
  attempt(async () => {
    await deleteModel(name);
    await lookIntoStorage();
  });

const show = (phase: string, overall: number) => {
  loading.value = { phase, overall };
};

async function loadFrom(find: () => Promise<File | string>, then = async () => {}): Promise<void> {
  abort?.abort();
  const controller = new AbortController();
  abort = controller;
  await attempt(async () => {
    await model.value?.dispose();
    model.value = undefined;
    let over = false;
    show('loading', 0);
    try {
      const source = await find();
      const worker = new Worker(new URL('./engine.ts', import.meta.url), { type: 'module' });
      const onProgress = ({ phase, overall }: LoadProgress) => {
        // The last of these messages come after the model.
        if (!over && abort === controller) show(PHASES[phase], overall);
      };
      model.value = await createWorkerModel(worker, source, {
        context: CONTEXT,
        onProgress,
        signal: controller.signal,
      });
      over = true;
      await then();
    } finally {
      if (abort === controller) loading.value = undefined;
      await lookIntoStorage();
    }
  });
}

export async function lookIntoStorage(): Promise<void> {
  kept.value = await listModels();
  if (kept.value.length > 0) storage.value = await persistStorage();
}
