/** Typed views of a WebAssembly memory. */

export interface Views {
  i32: Int32Array;
  u32: Uint32Array;
  f32: Float32Array;
  u16: Uint16Array;
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
      };
    }
    return views;
  };
}
