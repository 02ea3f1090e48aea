/**
 * The products and look-ups of matrices in their forms, as nodes of a graph.
 *
 * Blocks with offsets are two products: x . (scale (code - zero) + offset) = MatMulNBits(x) + sums of x over each
 * block . offsets. A floating-point zero point would say the same, but ONNX Runtime then decodes the whole matrix on
 * every call. Split 8-bit codes are two products, too: 16 x . upper nibbles + x . lower nibbles.
 */
import type { GgufTensor } from '../gguf/index.ts';
import { type ElementType, float32Type, type Graph, type Value } from './graph.ts';
import {
  type BlockForm,
  formKey,
  lowerZeroBytes,
  type PlaneName,
  type Precision,
  productForm,
  tableForm,
} from './matrix-form.ts';
import { type PlacedMatrix, rowLengthOf, rowsOf, type WeightsPlan } from './weights-plan.ts';

/** What the nodes of one segment are built with. */
export interface SegmentBuilder {
  readonly graph: Graph;
  readonly weights: WeightsPlan;
  readonly precision: Precision;
}

/** A matrix, and what is added to its products where the architecture has biases. */
export interface Linear {
  readonly weight: GgufTensor;
  readonly bias?: GgufTensor | undefined;
}

/**
 * Products of x (tokens, row length) with several matrices: (tokens, rows) each. Neighbours of one form become one
 * product, which reads x once.
 */
export function linear(builder: SegmentBuilder, x: Value, matrices: readonly Linear[]): Value[] {
  const groups: Linear[][] = [];
  for (const matrix of matrices) {
    const last = groups.at(-1);
    const fits = last?.[0] !== undefined && sameForm(builder, last[0].weight, matrix.weight);
    if (fits) last.push(matrix);
    else groups.push([matrix]);
  }
  return groups.flatMap((group) => fusedLinear(builder, x, group));
}

function sameForm({ precision }: SegmentBuilder, a: GgufTensor, b: GgufTensor): boolean {
  return formKey(productForm(a, precision)) === formKey(productForm(b, precision));
}

function fusedLinear(builder: SegmentBuilder, x: Value, group: readonly Linear[]): Value[] {
  const { graph, weights, precision } = builder;
  const tensors = group.map(({ weight }) => weight);
  const form = productForm(tensors[0] as GgufTensor, precision);
  const fused = product(builder, x, weights.place(tensors, form, 'product'));
  const parts =
    group.length === 1
      ? [fused]
      : graph.nodes('Split', [fused, graph.integers(tensors.map(rowsOf))], group.length, { attributes: { axis: -1 } });
  return parts.map((part, i) => {
    const bias = group[i]?.bias;
    return bias === undefined ? part : graph.node('Add', [part, vector(builder, bias)]);
  });
}

/** x (tokens, row length) . matrix -> (tokens, rows) */
function product({ graph, precision }: SegmentBuilder, x: Value, matrix: PlacedMatrix): Value {
  const { form, rows, rowLength } = matrix;
  if (form.kind === 'floats') {
    const values = plane(graph, matrix, 'values', 'float32', [rows, rowLength]);
    return graph.node('Gemm', [x, values], { attributes: { transB: 1 } });
  }
  const ofCodes = form.split ? splitProduct(graph, x, matrix, form) : wholeProduct(graph, x, matrix, form, precision);
  if (!form.offsets) return ofCodes;
  const offsets = plane(graph, matrix, 'offsets', 'float32', [rows, rowLength / form.blockSize]);
  const sums = blockSums(graph, x, rowLength, form.blockSize);
  return graph.node('Gemm', [sums, offsets, ofCodes], { attributes: { transB: 1 } });
}

function wholeProduct(graph: Graph, x: Value, matrix: PlacedMatrix, form: BlockForm, precision: Precision): Value {
  return matMulNBits(graph, x, matrix, {
    codes: codesOf(graph, matrix, 'codes', form.blockSize, form.bits),
    bits: form.bits,
    blockSize: form.blockSize,
    accuracyLevel: precision === 'fast' ? eightBitActivations : float32Activations,
  });
}

function splitProduct(graph: Graph, x: Value, matrix: PlacedMatrix, form: BlockForm): Value {
  const { rows, rowLength } = matrix;
  const { blockSize } = form;
  const upper = { codes: codesOf(graph, matrix, 'upperCodes', blockSize, 4), bits: 4, blockSize } as const;
  const lower = { codes: codesOf(graph, matrix, 'lowerCodes', blockSize, 4), bits: 4, blockSize } as const;
  const zeros = plane(graph, matrix, 'lowerZeros', 'uint8', [rows, lowerZeroBytes(form, rowLength)]);
  const x16 = graph.once(`16 ${x}`, () => graph.node('Mul', [x, graph.scalar(16)]));
  return graph.node('Add', [
    matMulNBits(graph, x16, matrix, { ...upper, accuracyLevel: float32Activations }),
    matMulNBits(graph, x, matrix, { ...lower, accuracyLevel: float32Activations, zeros }),
  ]);
}

/** Levels of MatMulNBits: how it rounds activations before it multiplies. */
const float32Activations = 0;
const eightBitActivations = 4;

interface Codes {
  codes: Value;
  bits: 4 | 8;
  blockSize: number;
  accuracyLevel: number;
  /** Zero points. Default: the middle of the range of the codes. */
  zeros?: Value;
}

function matMulNBits(graph: Graph, x: Value, matrix: PlacedMatrix, { codes, zeros, ...options }: Codes): Value {
  const { rows, rowLength } = matrix;
  const { bits, blockSize, accuracyLevel } = options;
  const scales = plane(graph, matrix, 'scales', 'float32', [rows, rowLength / blockSize]);
  return graph.node('MatMulNBits', zeros === undefined ? [x, codes, scales] : [x, codes, scales, zeros], {
    domain: 'com.microsoft',
    attributes: { K: rowLength, N: rows, bits, block_size: blockSize, accuracy_level: accuracyLevel },
  });
}

/** Sums of each block of x (tokens, row length): (tokens, blocks) */
function blockSums(graph: Graph, x: Value, rowLength: number, blockSize: number): Value {
  return graph.once(`sums of ${blockSize} ${x}`, () => {
    const blocks = graph.node('Reshape', [x, graph.integers([-1, rowLength / blockSize, blockSize])]);
    return graph.node('ReduceSum', [blocks, graph.integers([-1])], { attributes: { keepdims: 0 } });
  });
}

/** Rows of a table, by their numbers (tokens): (tokens, row length) in float32 */
export function lookUp({ graph, weights }: SegmentBuilder, table: GgufTensor, numbers: Value): Value {
  const form = tableForm(table);
  const matrix = weights.place([table], form, 'table');
  const { rows, rowLength } = matrix;
  if (form.kind === 'floats') {
    const values = plane(graph, matrix, 'values', form.element, [rows, rowLength]);
    const found = graph.node('Gather', [values, numbers]);
    return form.element === 'float32' ? found : graph.node('Cast', [found], { attributes: { to: float32Type } });
  }
  const { bits, blockSize } = form;
  const blocks = rowLength / blockSize;
  const codes = plane(graph, matrix, 'codes', 'uint8', [rows, (rowLength * bits) / 8]);
  const scales = plane(graph, matrix, 'scales', 'float32', [rows, blocks]);
  const ofCodes = graph.node('GatherBlockQuantized', [codes, numbers, scales], {
    domain: 'com.microsoft',
    attributes: { bits, block_size: blockSize, gather_axis: 0, quantize_axis: 1 },
  });
  if (!form.offsets) return ofCodes;
  const offsets = graph.node('Gather', [plane(graph, matrix, 'offsets', 'float32', [rows, blocks]), numbers]);
  const sum = graph.node('Add', [
    graph.node('Reshape', [ofCodes, graph.integers([-1, blocks, blockSize])]),
    graph.node('Reshape', [offsets, graph.integers([-1, blocks, 1])]),
  ]);
  return graph.node('Reshape', [sum, graph.integers([-1, rowLength])]);
}

/** A vector of weights: gains of a norm, a bias. */
export function vector({ graph, weights }: SegmentBuilder, tensor: GgufTensor): Value {
  const matrix = weights.place([tensor], { kind: 'floats', element: 'float32' }, 'vector');
  return plane(graph, matrix, 'values', 'float32', [rowLengthOf(tensor)]);
}

function codesOf(graph: Graph, matrix: PlacedMatrix, name: PlaneName, blockSize: number, bits: number): Value {
  const { rows, rowLength } = matrix;
  return plane(graph, matrix, name, 'uint8', [rows, rowLength / blockSize, (blockSize * bits) / 8]);
}

function plane(
  graph: Graph,
  matrix: PlacedMatrix,
  name: PlaneName,
  type: ElementType,
  shape: readonly number[],
): Value {
  const found = matrix.planes.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`A matrix of the form ${formKey(matrix.form)} has no plane ${name}.`);
  return graph.external(type, shape, found);
}
