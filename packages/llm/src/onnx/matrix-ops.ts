/**
 * Products with encoded matrices and look-ups in them, as nodes of a graph.
 *
 * Blocks with offsets are two products: x . (scale (q - zero) + offset) = MatMulNBits(x) + sums of x over each
 * block . offsets. A floating-point zero point would do the same, but ONNX Runtime then dequantizes the whole matrix on
 * every call. 8-bit values split into nibbles are two products, too: 16 x . upper nibbles + x . lower nibbles.
 *
 * Rows quantized to 8 bits are multiplied by activations that are rotated and quantized row by row in the same way.
 */
import { type GgufTensor, type ScaleFactors, ZERO_OF_BITS } from '../gguf/index.ts';
import { type ElementType, float32Type, type Graph, type Value } from './graph.ts';
import { hadamardMatrix, hadamardSize } from './rotation.ts';
import { MAX_INT8, ZERO_POINT } from './row-int8.ts';
import {
  type BlockProducts,
  type BlockQuantized,
  type ComponentName,
  encodingKey,
  type Int8Signedness,
  lowerZeroPointBytes,
  type MatmulPrecision,
  type MatmulShape,
  productEncoding,
  tableEncoding,
  type WeightEncoding,
} from './weight-encoding.ts';
import { type PlacedMatrix, rowLengthOf, rowsOf, type WeightsPlan } from './weights-plan.ts';

/** What the nodes of one segment are built with. */
export interface SegmentBuilder {
  readonly graph: Graph;
  readonly weights: WeightsPlan;
  readonly precision: MatmulPrecision;
  /** The shape of its products. Default: `gemv`. */
  readonly matmulShape?: MatmulShape;
  /** Whether 8-bit weights are signed. Default: `unsigned`. */
  readonly int8Signedness?: Int8Signedness;
  /** How float32 activations are multiplied by blocks. Default: `as-blocks`. */
  readonly blockProducts?: BlockProducts;
}

/** A linear layer: a matrix (rows, row length), and what is added to its products. */
export interface Linear {
  readonly weight: GgufTensor;
  readonly bias?: GgufTensor | undefined;
  /** Rows of each matrix where several lie in the tensor, one under the other. Default: all rows are one matrix. */
  readonly parts?: readonly number[];
}

/**
 * Products of x (tokens, row length) with several matrices: (tokens, rows) for each matrix and each part of one.
 * Neighbours of one encoding become one product, which reads x once.
 */
export function linear(builder: SegmentBuilder, x: Value, matrices: readonly Linear[]): Value[] {
  const groups: Linear[][] = [];
  for (const matrix of matrices) {
    const last = groups.at(-1);
    const fits = last?.[0] !== undefined && canFuse(builder, last[0].weight, matrix.weight);
    if (fits) last.push(matrix);
    else groups.push([matrix]);
  }
  return groups.flatMap((group) => fusedLinear(builder, x, group));
}

/** 8-bit products stay apart: their input is rotated and quantized once anyway, and splitting a product costs more. */
function canFuse(builder: SegmentBuilder, a: GgufTensor, b: GgufTensor): boolean {
  const encoding = encodingOf(builder, a);
  return encoding.kind !== 'rows' && encodingKey(encoding) === encodingKey(encodingOf(builder, b));
}

function encodingOf({ precision, matmulShape, int8Signedness }: SegmentBuilder, tensor: GgufTensor): WeightEncoding {
  return productEncoding(tensor, precision, matmulShape, int8Signedness);
}

function fusedLinear(builder: SegmentBuilder, x: Value, group: readonly Linear[]): Value[] {
  const { graph, weights } = builder;
  const tensors = group.map(({ weight }) => weight);
  const encoding = encodingOf(builder, tensors[0] as GgufTensor);
  const fused = product(builder, x, weights.place(tensors, encoding, 'product'));
  return split(graph, fused, tensors.map(rowsOf)).flatMap((output, i) => {
    const { bias, parts = [] } = group[i] as Linear;
    const sum = bias === undefined ? output : graph.node('Add', [output, vector(builder, bias)], { about: bias.name });
    return split(graph, sum, parts);
  });
}

/** Columns of x (tokens, sum of sizes) in pieces of those sizes. */
function split(graph: Graph, x: Value, sizes: readonly number[]): Value[] {
  if (sizes.length <= 1) return [x];
  return graph.nodes('Split', [x, graph.integers(sizes)], sizes.length, { attributes: { axis: -1 } });
}

/** x (tokens, row length) . matrix -> (tokens, rows) */
function product({ graph, precision, blockProducts }: SegmentBuilder, x: Value, matrix: PlacedMatrix): Value {
  const { encoding, rows, rowLength } = matrix;
  const floatProduct = (values: Value) =>
    graph.node('Gemm', [x, values], { attributes: { transB: 1 }, about: matrixName(matrix) });
  if (encoding.kind === 'floats') {
    return floatProduct(componentTensor(graph, matrix, 'values', 'float32', [rows, rowLength]));
  }
  if (encoding.kind === 'rows') return int8Product(graph, x, matrix, encoding.signedness);
  if (blockProducts === 'as-floats' && precision === 'fp32') {
    return floatProduct(dequantizedRows(graph, matrix, encoding, allRows));
  }
  const quantizedProduct = encoding.splitNibbles
    ? splitProduct(graph, x, matrix, encoding)
    : unsplitProduct(graph, x, matrix, encoding, precision);
  if (!encoding.hasOffsets) return quantizedProduct;
  const offsets = blockOffsets(graph, matrix, encoding);
  const sums = blockSums(graph, x, rowLength, encoding.blockSize);
  return graph.node('Gemm', [sums, offsets, quantizedProduct], {
    attributes: { transB: 1 },
    about: matrixName(matrix),
  });
}

function unsplitProduct(
  graph: Graph,
  x: Value,
  matrix: PlacedMatrix,
  encoding: BlockQuantized,
  precision: MatmulPrecision,
): Value {
  return matMulNBits(graph, x, matrix, {
    quantized: quantizedTensor(graph, matrix, 'quantized', encoding.blockSize, encoding.bits),
    scales: blockScales(graph, matrix, encoding),
    bits: encoding.bits,
    blockSize: encoding.blockSize,
    accuracyLevel: precision === 'fp32' ? FLOAT32_ACTIVATIONS : INT8_ACTIVATIONS,
  });
}

/** x . rows = scales of x * (quantized x . quantized rows * scales of the rows) */
function int8Product(graph: Graph, x: Value, matrix: PlacedMatrix, signedness: Int8Signedness): Value {
  const { rows, rowLength } = matrix;
  const { bytes, scales } = quantizeRotated(graph, x, rowLength);
  const quantized = componentTensor(graph, matrix, 'quantized', INT8_ELEMENT_TYPE[signedness], [rows, rowLength]);
  const rowScales = componentTensor(graph, matrix, 'scales', 'float32', [rows]);
  const zeroPoints = graph.bytes(INT8_ELEMENT_TYPE[signedness], ZERO_POINT[signedness], [rows]);
  const product = qGemm(graph, bytes, quantized, rowScales, zeroPoints, matrixName(matrix));
  return graph.node('Mul', [product, scales]);
}

const INT8_ELEMENT_TYPE = { signed: 'int8', unsigned: 'uint8' } as const;

/** (a - 128) . scales (b - zeroPoints), for bytes a (rows, length) and b (columns, length) */
export function qGemm(graph: Graph, a: Value, b: Value, scales: Value, zeroPoints: Value, about = b): Value {
  return graph.node('QGemm', [a, graph.scalar(1), graph.bytes('uint8', ZERO_POINT.unsigned), b, scales, zeroPoints], {
    domain: 'com.microsoft',
    attributes: { transB: 1 },
    about,
  });
}

/** x (tokens, row length), rotated and quantized: bytes of the same shape, and scales (tokens, 1) */
function quantizeRotated(graph: Graph, x: Value, rowLength: number): { bytes: Value; scales: Value } {
  const rotationSize = hadamardSize(rowLength);
  const rotated = graph.once(`rotated ${x}`, () => {
    const matrix = graph.floats(`rotation_${rotationSize}`, [rotationSize, rotationSize], hadamardMatrix(rotationSize));
    const parts = graph.node('Reshape', [x, graph.integers([-1, rotationSize])]);
    return graph.node('Reshape', [graph.node('MatMul', [parts, matrix]), graph.integers([-1, rowLength])]);
  });
  const scales = graph.once(`scales of ${rotated}`, () => {
    const extreme = (operator: string) =>
      graph.node(operator, [rotated, graph.integers([-1])], { attributes: { keepdims: 1 } });
    const maxAbs = graph.node('Max', [
      extreme('ReduceMax'),
      graph.node('Neg', [extreme('ReduceMin')]),
      // A row of zeros needs a scale, too.
      graph.scalar(MIN_ACTIVATION),
    ]);
    return graph.node('Mul', [maxAbs, graph.scalar(1 / MAX_INT8)]);
  });
  const bytes = graph.once(`bytes of ${rotated}`, () =>
    graph.node('QuantizeLinear', [
      graph.node('Div', [rotated, scales]),
      graph.scalar(1),
      graph.bytes('uint8', ZERO_POINT.unsigned),
    ]),
  );
  return { bytes, scales };
}

/** Far below any activation that matters, far above the smallest normal float32, 1.2e-38. */
const MIN_ACTIVATION = 1e-30;

function splitProduct(graph: Graph, x: Value, matrix: PlacedMatrix, encoding: BlockQuantized): Value {
  const { rows, rowLength } = matrix;
  const { blockSize } = encoding;
  const scales = blockScales(graph, matrix, encoding);
  const upper = {
    scales,
    quantized: quantizedTensor(graph, matrix, 'upperNibbles', blockSize, 4),
    bits: 4,
    blockSize,
  } as const;
  const lower = {
    scales,
    quantized: quantizedTensor(graph, matrix, 'lowerNibbles', blockSize, 4),
    bits: 4,
    blockSize,
  } as const;
  const zeroPoints = componentTensor(graph, matrix, 'lowerZeroPoints', 'uint8', [
    rows,
    lowerZeroPointBytes(encoding, rowLength),
  ]);
  const x16 = graph.once(`16 ${x}`, () => graph.node('Mul', [x, graph.scalar(16)]));
  return graph.node('Add', [
    matMulNBits(graph, x16, matrix, { ...upper, accuracyLevel: FLOAT32_ACTIVATIONS }),
    matMulNBits(graph, x, matrix, { ...lower, accuracyLevel: FLOAT32_ACTIVATIONS, zeroPoints }),
  ]);
}

/** `accuracy_level` of MatMulNBits: what it rounds activations to before it multiplies. */
const FLOAT32_ACTIVATIONS = 0;
const INT8_ACTIVATIONS = 4;

interface MatMulNBitsOptions {
  quantized: Value;
  scales: Value;
  bits: 4 | 8;
  blockSize: number;
  accuracyLevel: number;
  /** Default: the middle of the range. */
  zeroPoints?: Value;
}

function matMulNBits(
  graph: Graph,
  x: Value,
  matrix: PlacedMatrix,
  { quantized, scales, zeroPoints, ...options }: MatMulNBitsOptions,
): Value {
  const { rows, rowLength } = matrix;
  const { bits, blockSize, accuracyLevel } = options;
  return graph.node(
    'MatMulNBits',
    zeroPoints === undefined ? [x, quantized, scales] : [x, quantized, scales, zeroPoints],
    {
      domain: 'com.microsoft',
      about: matrixName(matrix),
      attributes: { K: rowLength, N: rows, bits, block_size: blockSize, accuracy_level: accuracyLevel },
    },
  );
}

/** Sums of each block of x (tokens, row length): (tokens, blocks) */
function blockSums(graph: Graph, x: Value, rowLength: number, blockSize: number): Value {
  return graph.once(`sums of ${blockSize} ${x}`, () => {
    const blocks = graph.node('Reshape', [x, graph.integers([-1, rowLength / blockSize, blockSize])]);
    return graph.node('ReduceSum', [blocks, graph.integers([-1])], { attributes: { keepdims: 0 } });
  });
}

/** Rows of a table by token id: (tokens, row length) in float32 */
export function embeddingLookup(
  { graph, weights, precision }: SegmentBuilder,
  table: GgufTensor,
  tokenIds: Value,
): Value {
  const encoding = tableEncoding(table, precision);
  const matrix = weights.place([table], encoding, 'table');
  const { rows, rowLength } = matrix;
  if (encoding.kind === 'floats') {
    const values = componentTensor(graph, matrix, 'values', encoding.element, [rows, rowLength]);
    const gathered = graph.node('Gather', [values, tokenIds], { about: table.name });
    return encoding.element === 'float32'
      ? gathered
      : graph.node('Cast', [gathered], { attributes: { to: float32Type } });
  }
  if (encoding.kind === 'rows') throw new Error('Tables are never quantized row by row.');
  return dequantizedRows(graph, matrix, encoding, (component) =>
    graph.node('Gather', [component, tokenIds], { about: table.name }),
  );
}

/** Rows of a matrix in float32: (rows, row length) */
function dequantizedRows(graph: Graph, matrix: PlacedMatrix, encoding: BlockQuantized, take: TakeRows): Value {
  const { rows, rowLength } = matrix;
  const { bits, blockSize } = encoding;
  const bytes = (name: ComponentName, width: number) =>
    take(componentTensor(graph, matrix, name, 'uint8', [rows, width]));
  const inNibbles = (name: ComponentName) => toFloat(graph, nibbles(graph, bytes(name, rowLength / 2), rowLength));
  let codes: Value;
  if (encoding.splitNibbles) {
    const upper = graph.node('Mul', [inNibbles('upperNibbles'), graph.scalar(16)]);
    codes = graph.node('Add', [upper, inNibbles('lowerNibbles')]);
  } else codes = bits === 4 ? inNibbles('quantized') : toFloat(graph, bytes('quantized', rowLength));
  const blocks = rowLength / blockSize;
  const blocksOf = (value: Value, size: number) => graph.node('Reshape', [value, graph.integers([-1, blocks, size])]);
  const centred = graph.node('Sub', [blocksOf(codes, blockSize), graph.scalar(ZERO_OF_BITS[bits])]);
  const scaled = graph.node('Mul', [centred, blocksOf(blockScales(graph, matrix, encoding, take), 1)]);
  const values = encoding.hasOffsets
    ? graph.node('Add', [scaled, blocksOf(blockOffsets(graph, matrix, encoding, take), 1)])
    : scaled;
  return graph.node('Reshape', [values, graph.integers([-1, rowLength])]);
}

/** The nibbles of bytes, lower before upper: (tokens, row length) of uint8. */
function nibbles(graph: Graph, bytes: Value, rowLength: number): Value {
  const lower = graph.node('BitwiseAnd', [bytes, graph.bytes('uint8', 15)]);
  const upper = graph.node('BitShift', [bytes, graph.bytes('uint8', 4)], {
    attributes: { direction: { text: 'RIGHT' } },
  });
  const columns = [lower, upper].map((half) => graph.node('Reshape', [half, graph.integers([-1, rowLength / 2, 1])]));
  const pairs = graph.node('Concat', columns, { attributes: { axis: -1 } });
  return graph.node('Reshape', [pairs, graph.integers([-1, rowLength])]);
}

const toFloat = (graph: Graph, value: Value): Value => graph.node('Cast', [value], { attributes: { to: float32Type } });

/** Which rows of a matrix are taken: all, or those that a look-up gathers. */
type TakeRows = (component: Value) => Value;
const allRows: TakeRows = (component) => component;

/**
 * Scales of a matrix's blocks, (rows, blocks) in float32. Where they are made of factors, ONNX Runtime multiplies them out
 * when it loads the graph, unless rows are gathered.
 */
export function blockScales(graph: Graph, matrix: PlacedMatrix, encoding: BlockQuantized, take = allRows): Value {
  const { rows, rowLength } = matrix;
  const blocks = rowLength / encoding.blockSize;
  if (encoding.factors === undefined) {
    return take(componentTensor(graph, matrix, 'scales', 'float32', [rows, blocks]));
  }
  return multiplied(graph, matrix, encoding.factors, blocks, take, ['scaleFactors', 'scaleCodes', 'int8']);
}

/** Offsets of a matrix's blocks, as `blockScales` gives scales. */
function blockOffsets(graph: Graph, matrix: PlacedMatrix, encoding: BlockQuantized, take = allRows): Value {
  const { factors, blockSize } = encoding;
  const blocks = matrix.rowLength / blockSize;
  if (factors?.minima === undefined) {
    return take(componentTensor(graph, matrix, 'offsets', 'float32', [matrix.rows, blocks]));
  }
  const { middle } = factors.minima;
  const middles = graph.node('Mul', [blockScales(graph, matrix, encoding, take), graph.scalar(middle)]);
  const minima = multiplied(graph, matrix, factors, blocks, take, ['minimumFactors', 'minimumCodes', 'uint8']);
  return graph.node(factors.blocks === 1 ? 'Add' : 'Sub', [middles, minima]);
}

/** factors * codes: (rows, blocks) */
function multiplied(
  graph: Graph,
  matrix: PlacedMatrix,
  factors: ScaleFactors,
  blocks: number,
  take: TakeRows,
  [factorName, codeName, codeType]: readonly [ComponentName, ComponentName, ElementType],
): Value {
  const { rows } = matrix;
  const read = (name: ComponentName, type: ElementType, width: number) =>
    take(componentTensor(graph, matrix, name, type, [rows, width]));
  return graph.once(`${matrixName(matrix)} ${factorName} by ${take === allRows ? 'all' : 'some'} rows`, () => {
    const factor = toFloat(graph, read(factorName, 'float16', blocks / factors.blocks));
    if (factors.blocks === 1) return factor;
    return graph.node('DequantizeLinear', [read(codeName, codeType, blocks), factor], {
      attributes: { axis: 1, block_size: factors.blocks },
    });
  });
}

/** A vector of weights, such as the gains of a norm or a bias. */
export function vector({ graph, weights }: SegmentBuilder, tensor: GgufTensor): Value {
  const matrix = weights.place([tensor], { kind: 'floats', element: 'float32' }, 'vector');
  return componentTensor(graph, matrix, 'values', 'float32', [rowLengthOf(tensor)]);
}

function quantizedTensor(
  graph: Graph,
  matrix: PlacedMatrix,
  name: ComponentName,
  blockSize: number,
  bits: number,
): Value {
  const { rows, rowLength } = matrix;
  return componentTensor(graph, matrix, name, 'uint8', [rows, rowLength / blockSize, (blockSize * bits) / 8]);
}

/** A component of a placed matrix as a tensor. */
export function componentTensor(
  graph: Graph,
  matrix: PlacedMatrix,
  name: ComponentName,
  type: ElementType,
  shape: readonly number[],
): Value {
  const component = matrix.components.find((candidate) => candidate.name === name);
  if (component === undefined) {
    throw new Error(`The encoding ${encodingKey(matrix.encoding)} has no component ${name}.`);
  }
  return graph.external(`${matrixName(matrix)} ${name}`, type, shape, component);
}

/** The names of its tensors, as the GGUF file has them. */
function matrixName({ tensors }: PlacedMatrix): string {
  return tensors.map(({ name }) => name).join(' + ');
}
