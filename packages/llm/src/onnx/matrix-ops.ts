/**
 * The products and look-ups of matrices in their forms, as nodes of a graph.
 *
 * Blocks with offsets are two products: x . (scale (code - zero) + offset) = MatMulNBits(x) + sums of x over each
 * block . offsets. A floating-point zero point would say the same, but ONNX Runtime then decodes the whole matrix on
 * every call. Split 8-bit codes are two products, too: 16 x . upper nibbles + x . lower nibbles.
 *
 * Rows of 8-bit codes are multiplied as bytes by activations that are rotated and rounded row by row, too.
 */
import type { GgufTensor } from '../gguf/index.ts';
import { type ElementType, float32Type, type Graph, type Value } from './graph.ts';
import {
  type BlockForm,
  type ByteCodes,
  formKey,
  lowerZeroBytes,
  type MatrixForm,
  type PlaneName,
  type Precision,
  productForm,
  type RowCount,
  tableForm,
} from './matrix-form.ts';
import { rotatedPart, rotationMatrix } from './rotation.ts';
import { LARGEST_CODE, zeroCode } from './row-codes.ts';
import { type PlacedMatrix, rowLengthOf, rowsOf, type WeightsPlan } from './weights-plan.ts';

/** What the nodes of one segment are built with. */
export interface SegmentBuilder {
  readonly graph: Graph;
  readonly weights: WeightsPlan;
  readonly precision: Precision;
  /** How many rows its products are made for. Default: few. */
  readonly rows?: RowCount;
  /** What the bytes of weights are multiplied as. Default: unsigned. */
  readonly codes?: ByteCodes;
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
    const fits = last?.[0] !== undefined && areFused(builder, last[0].weight, matrix.weight);
    if (fits) last.push(matrix);
    else groups.push([matrix]);
  }
  return groups.flatMap((group) => fusedLinear(builder, x, group));
}

/** Products of bytes are done apart: their inputs are rotated and rounded once, and taking a product apart costs more. */
function areFused(builder: SegmentBuilder, a: GgufTensor, b: GgufTensor): boolean {
  const form = formOf(builder, a);
  return form.kind !== 'rows' && formKey(form) === formKey(formOf(builder, b));
}

function formOf({ precision, rows, codes }: SegmentBuilder, tensor: GgufTensor): MatrixForm {
  return productForm(tensor, precision, rows, codes);
}

function fusedLinear(builder: SegmentBuilder, x: Value, group: readonly Linear[]): Value[] {
  const { graph, weights } = builder;
  const tensors = group.map(({ weight }) => weight);
  const form = formOf(builder, tensors[0] as GgufTensor);
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
  if (form.kind === 'rows') return byteProduct(graph, x, matrix, form.codes);
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
    accuracyLevel: precision === 'exact' ? float32Activations : eightBitActivations,
  });
}

/** x . rows = its scales * (its bytes . codes * scales of the rows) */
function byteProduct(graph: Graph, x: Value, matrix: PlacedMatrix, kind: ByteCodes): Value {
  const { rows, rowLength } = matrix;
  const { bytes, scales } = rotatedBytes(graph, x, rowLength);
  const codes = plane(graph, matrix, 'codes', byteType[kind], [rows, rowLength]);
  const scalesOfRows = plane(graph, matrix, 'scales', 'float32', [rows]);
  const zeros = graph.bytes(byteType[kind], zeroCode[kind], [rows]);
  const product = qGemm(graph, bytes, codes, scalesOfRows, zeros);
  return graph.node('Mul', [product, scales]);
}

const byteType = { signed: 'int8', unsigned: 'uint8' } as const;

/** (a - 128) . scales (b - zeros), for bytes a (rows, length) and b (columns, length); the zeros are those of b. */
export function qGemm(graph: Graph, a: Value, b: Value, scales: Value, zeros: Value): Value {
  return graph.node('QGemm', [a, graph.scalar(1), graph.bytes('uint8', zeroCode.unsigned), b, scales, zeros], {
    domain: 'com.microsoft',
    attributes: { transB: 1 },
  });
}

/** x (tokens, row length), rotated and rounded: bytes of the same shape, and scales (tokens, 1) */
function rotatedBytes(graph: Graph, x: Value, rowLength: number): { bytes: Value; scales: Value } {
  const part = rotatedPart(rowLength);
  const rotated = graph.once(`rotated ${x}`, () => {
    const matrix = graph.floats(`rotation_${part}`, [part, part], rotationMatrix(part));
    const parts = graph.node('Reshape', [x, graph.integers([-1, part])]);
    return graph.node('Reshape', [graph.node('MatMul', [parts, matrix]), graph.integers([-1, rowLength])]);
  });
  const scales = graph.once(`scales of ${rotated}`, () => {
    const extreme = (operator: string) =>
      graph.node(operator, [rotated, graph.integers([-1])], { attributes: { keepdims: 1 } });
    const largest = graph.node('Max', [
      ...[extreme('ReduceMax'), graph.node('Neg', [extreme('ReduceMin')])],
      // A row of zeros has a scale, too.
      graph.scalar(SMALLEST_ACTIVATION),
    ]);
    return graph.node('Mul', [largest, graph.scalar(1 / LARGEST_CODE)]);
  });
  const bytes = graph.once(`bytes of ${rotated}`, () =>
    graph.node('QuantizeLinear', [
      graph.node('Div', [rotated, scales]),
      graph.scalar(1),
      graph.bytes('uint8', zeroCode.unsigned),
    ]),
  );
  return { bytes, scales };
}

/** Activations smaller than that are as good as 0: a float's smallest normal number is 1.2e-38. */
const SMALLEST_ACTIVATION = 1e-30;

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
  if (form.kind === 'rows') throw new Error('No table has the form of rows.');
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
