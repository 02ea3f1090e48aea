/**
 * Decides where the tensors of all segments lie in their one weights file, before a byte of it is written: the graphs
 * need the places, `inspect` the sizes, and the writer the order.
 */
import type { GgufTensor } from '../gguf/index.ts';
import type { ExternalData } from './graph.ts';
import { componentsOf, type EncodingComponent, encodingKey, type WeightEncoding } from './weight-encoding.ts';

/** What a graph does with a matrix: multiply by it, look up its rows, or use it as a vector. */
export type MatrixUse = 'product' | 'table' | 'vector';

/** Rows of one or more tensors of equal row length in one encoding. */
export interface PlacedMatrix {
  readonly tensors: readonly GgufTensor[];
  /** Whether rows of the tensors take turns. Otherwise the tensors lie one under the other. */
  readonly interleaved: boolean;
  readonly encoding: WeightEncoding;
  readonly rows: number;
  readonly rowLength: number;
  readonly uses: ReadonlySet<MatrixUse>;
  /** Where each component lies; its rows follow one another. */
  readonly components: readonly (EncodingComponent & ExternalData)[];
}

/** Tensors begin at whole pages, so that they can be mapped into memory. */
const alignment = 4096;

export class WeightsPlan {
  readonly #matrices = new Map<string, PlacedMatrix & { uses: Set<MatrixUse> }>();
  #byteLength = 0;

  /** In the order of the file. */
  get matrices(): readonly PlacedMatrix[] {
    return [...this.#matrices.values()];
  }

  /** Bytes of the weights file. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Places tensors, once: the same ones in the same encoding share their place. */
  place(tensors: readonly GgufTensor[], encoding: WeightEncoding, use: MatrixUse, interleaved = false): PlacedMatrix {
    const key = `${encodingKey(encoding)} ${interleaved} ${JSON.stringify(tensors.map(({ name }) => name))}`;
    const existing = this.#matrices.get(key);
    if (existing !== undefined) {
      existing.uses.add(use);
      return existing;
    }
    const rowLength = rowLengthOf(tensors[0] as GgufTensor);
    const rows = tensors.reduce((sum, tensor) => sum + rowsOf(tensor), 0);
    const components = componentsOf(encoding, rowLength).map((component) => {
      const byteLength = rows * component.bytesPerRow;
      return { ...component, offset: this.#reserve(byteLength), byteLength };
    });
    const matrix = { tensors, interleaved, encoding, rows, rowLength, uses: new Set([use]), components };
    this.#matrices.set(key, matrix);
    return matrix;
  }

  #reserve(byteLength: number): number {
    const offset = Math.ceil(this.#byteLength / alignment) * alignment;
    this.#byteLength = offset + byteLength;
    return offset;
  }
}

/** Values of a row: the innermost dimension. */
export function rowLengthOf(tensor: GgufTensor): number {
  return tensor.dimensions[0] as number;
}

/** Rows of a matrix; a vector has one. */
export function rowsOf(tensor: GgufTensor): number {
  return tensor.dimensions.slice(1).reduce((product, dimension) => product * dimension, 1);
}
