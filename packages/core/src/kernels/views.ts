/** Typed views of a WebAssembly memory. */

/** Element `index` of a list that has it. */
export const at = <T>(list: ArrayLike<T>, index: number): T => list[index] as T;

export interface Views {
  i32: Int32Array;
  u32: Uint32Array;
  f32: Float32Array;
  u16: Uint16Array;
  i16: Int16Array;
}

/** Views of the whole memory that follow it as it grows: `views().f32[address / 4]`. */
export function viewsOf(memory: WebAssembly.Memory): () => Views {
  let buffer: ArrayBufferLike | undefined;
  let views: Views;
  return () => {
    if (memory.buffer !== buffer) {
      buffer = memory.buffer;
      views = {
        i32: new Int32Array(buffer),
        u32: new Uint32Array(buffer),
        f32: new Float32Array(buffer),
        u16: new Uint16Array(buffer),
        i16: new Int16Array(buffer),
      };
    }
    return views;
  };
}

/**
 * Makes sure that this thread sees the first `bytes` of a memory that another thread may have grown. V8 tells the
 * threads of growth, but not one that is just receiving the memory in a message: that thread would see the old size for
 * ever. Growing by nothing updates a memory.
 */
export function catchUp(memory: WebAssembly.Memory, bytes: number): void {
  if (memory.buffer.byteLength < bytes) memory.grow(0);
}
