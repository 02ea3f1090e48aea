/**
 * Parameter blocks: what a kernel in WebAssembly takes beside a few numbers, as fields of four bytes one behind the
 * other. `npm run build:wasm` makes AssemblyScript classes of them, so that names and offsets stand here alone.
 */

/** How AssemblyScript reads a field. A `bool32` is an i32 of 0 or 1. */
type FieldType = 'usize' | 'i32' | 'f32';

type Struct = Readonly<Record<string, FieldType>>;

export const STRUCTS = {} as const satisfies Readonly<Record<string, Struct>>;
