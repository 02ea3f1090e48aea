/** Models of @keysieve/llm as the server takes them. */
import { inspectModel, type LoadOptions, loadModel } from '@keysieve/llm';
import type { ModelSource } from './models.ts';

/** `nano`, a GGUF file or `hf:OWNER/REPO[/FILE]` under a name of its own. */
export function localModel(id: string, source: string, options: LoadOptions = {}): ModelSource {
  return {
    id,
    async load({ signal, onProgress }) {
      const report = (progress: Parameters<NonNullable<LoadOptions['onProgress']>>[0]) => {
        onProgress(progress);
        options.onProgress?.(progress);
      };
      return loadModel(source, { ...options, signal, onProgress: report });
    },
    async predictBytes() {
      const { memory } = await inspectModel(source, options);
      return memory.weights + memory.tokenizer + memory.work;
    },
  };
}
