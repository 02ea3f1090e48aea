import { describe, expect, it } from 'vitest';
import { catchUp, viewsOf } from './views.ts';

describe('views', () => {
  it('are of one buffer until the memory grows, and then of the next', () => {
    for (const shared of [true, false]) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 3, shared });
      const views = viewsOf(memory);
      const before = views();
      before.f32[1] = 2;
      expect(views()).toBe(before);
      memory.grow(1);
      expect(views().f32).toHaveLength(2 * 16_384);
      expect(views().f32[1]).toBe(2);
      expect(views().u16).toHaveLength(2 * 32_768);
    }
  });
});

describe('catchUp', () => {
  // V8 shows a thread the old size now and then; here that is certain.
  function staleMemory(bytes: number, grown: number) {
    const memory = {
      buffer: new ArrayBuffer(bytes),
      updates: 0,
      grow(pages: number): number {
        memory.updates++;
        memory.buffer = new ArrayBuffer(grown + pages * 65_536);
        return bytes / 65_536;
      },
    };
    return memory as typeof memory & WebAssembly.Memory;
  }

  it('brings a memory up to date that another thread has grown', () => {
    const memory = staleMemory(65_536, 4 * 65_536);
    const views = viewsOf(memory);
    expect(views().f32).toHaveLength(16_384);
    catchUp(memory, 2 * 65_536);
    expect(views().f32).toHaveLength(4 * 16_384);
    catchUp(memory, 4 * 65_536);
    expect(memory.updates).toBe(1);
  });

  it('grows nothing', () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 9, shared: true });
    for (const bytes of [0, 65_536, 2 * 65_536, 3 * 65_536]) catchUp(memory, bytes);
    expect(memory.buffer.byteLength).toBe(2 * 65_536);
  });
});
