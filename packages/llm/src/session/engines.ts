/** The attention engines of a model: sessions whose caches are alike share one, with its threads and its memory. */
import { type AttentionEngine, createAttentionEngine, type EngineOptions } from 'keysieve/engine';

export interface Engines {
  /** The engine for caches like this, held for the caller. Throws as `createAttentionEngine`. */
  acquire(options: EngineOptions): Promise<AttentionEngine>;
}

/** Engines are made when the first session asks for them, and end with the last that holds them. */
export function createEngines(): Engines {
  const engines = new Map<string, Promise<AttentionEngine>>();

  async function acquire(options: EngineOptions): Promise<AttentionEngine> {
    const key = JSON.stringify(Object.entries(options).sort());
    for (;;) {
      const existing = engines.get(key);
      if (existing === undefined) break;
      const engine = await existing;
      if (engine.isHeld) {
        engine.retain();
        return engine;
      }
      // It has ended; whoever comes first makes another.
      if (engines.get(key) === existing) engines.delete(key);
    }
    const created = createAttentionEngine(options);
    engines.set(key, created);
    try {
      return await created;
    } catch (error) {
      engines.delete(key);
      throw error;
    }
  }

  return { acquire };
}
