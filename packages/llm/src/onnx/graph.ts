/**
 * Builds ONNX graphs: nodes are added one after the other, values are named by strings, and the result is the bytes
 * of a model whose large tensors lie in a weights file beside it.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  type AttributeProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from './generated/onnx_pb.ts';
import { weightsFileName } from './weights-location.ts';

/** Name of a value in a graph: an input, an output of a node, or a tensor that never changes. */
export type Value = string;

const elementTypes = {
  float32: TensorProto_DataType.FLOAT,
  float16: TensorProto_DataType.FLOAT16,
  int8: TensorProto_DataType.INT8,
  uint8: TensorProto_DataType.UINT8,
  int32: TensorProto_DataType.INT32,
  int64: TensorProto_DataType.INT64,
} as const;

export type ElementType = keyof typeof elementTypes;

/** float32, as the attribute of a Cast names it. */
export const float32Type: number = elementTypes.float32;

/** A number is fixed; a name stands for a size that is known when the graph runs. */
export type Dimension = number | string;

export interface GraphOutput {
  readonly value: Value;
  readonly shape: readonly Dimension[];
}

/** Where a tensor lies in the weights file, in bytes. */
export interface ExternalData {
  readonly offset: number;
  readonly byteLength: number;
}

/** A whole number, `{ float }`, `{ text }`, or whole numbers. */
export type Attribute = number | { readonly float: number } | { readonly text: string } | readonly number[];

export interface NodeOptions {
  attributes?: Readonly<Record<string, Attribute>>;
  /** Set of operators. Default: the standard one. */
  domain?: 'com.microsoft';
  /** What the node is about, such as the name of a tensor: profiles show it. */
  about?: string;
}

/** IR 10 and operators 23: what RotaryEmbedding needs; ONNX Runtime 1.30 has both. */
const irVersion = 10n;
const operatorSets = [
  { domain: '', version: 23n },
  { domain: 'com.microsoft', version: 1n },
];

export class Graph {
  readonly name: string;
  /** The outputs, by their roles. */
  readonly outputs = new Map<string, GraphOutput>();
  readonly #nodes: MessageInitShape<typeof NodeProtoSchema>[] = [];
  readonly #tensors = new Map<Value, MessageInitShape<typeof TensorProtoSchema>>();
  readonly #inputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = [];
  readonly #outputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = [];
  readonly #memoized = new Map<string, Value>();

  constructor(name: string) {
    this.name = name;
  }

  input(name: Value, type: ElementType, shape: readonly Dimension[]): Value {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  /** Makes `value`, of the given type and shape, the output that the runtime gives out as `role`. */
  output(role: string, value: Value, type: ElementType, shape: readonly Dimension[]): void {
    this.#outputs.push(valueInfo(value, type, shape));
    this.outputs.set(role, { value, shape });
  }

  /** Adds a node with one output. */
  node(operator: string, inputs: readonly Value[], options: NodeOptions = {}): Value {
    const [value] = this.nodes(operator, inputs, 1, options);
    return value as Value;
  }

  /** Adds a node with several outputs; `outputs` is their number, or their names, '' for one that nobody wants. */
  nodes(
    operator: string,
    inputs: readonly Value[],
    outputs: number | readonly Value[],
    { attributes = {}, domain, about }: NodeOptions = {},
  ): Value[] {
    const name = `${about === undefined ? '' : `${about} `}${operator}_${this.#nodes.length}`;
    const output = typeof outputs === 'number' ? Array.from({ length: outputs }, (_, i) => `${name}_${i}`) : outputs;
    this.#nodes.push({
      name,
      opType: operator,
      domain: domain ?? '',
      input: [...inputs],
      output: [...output],
      attribute: Object.entries(attributes).map(([key, value]) => attributeProto(key, value)),
    });
    return [...output];
  }

  /** A one-dimensional tensor of 64-bit integers, inside the graph; equal ones are stored once. */
  integers(values: readonly number[]): Value {
    const name = `integers_${values.join('_')}`;
    this.#tensors.set(name, {
      name,
      dataType: elementTypes.int64,
      dims: [BigInt(values.length)],
      int64Data: values.map(BigInt),
    });
    return name;
  }

  /** A single float32, inside the graph. */
  scalar(value: number): Value {
    const name = `scalar_${value}`;
    this.#tensors.set(name, { name, dataType: elementTypes.float32, dims: [], floatData: [value] });
    return name;
  }

  /** A tensor of floats inside the graph, by a name that no other tensor has. */
  floats(name: string, shape: readonly number[], values: Float32Array): Value {
    this.#tensors.set(name, {
      name,
      dataType: elementTypes.float32,
      dims: shape.map(BigInt),
      floatData: [...values],
    });
    return name;
  }

  /** Bytes inside the graph, all of one value. */
  bytes(type: 'int8' | 'uint8', value: number, shape: readonly number[] = []): Value {
    const name = `${type}_${value}_${shape.join('_')}`;
    const count = shape.reduce((product, dimension) => product * dimension, 1);
    this.#tensors.set(name, {
      name,
      dataType: elementTypes[type],
      dims: shape.map(BigInt),
      rawData: new Uint8Array(count).fill(value),
    });
    return name;
  }

  /** A tensor of the weights file, by a name that no other tensor has. */
  external(name: string, type: ElementType, shape: readonly number[], { offset, byteLength }: ExternalData): Value {
    const entries = { location: weightsFileName, offset: String(offset), length: String(byteLength) };
    this.#tensors.set(name, {
      name,
      dataType: elementTypes[type],
      dims: shape.map(BigInt),
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
    });
    return name;
  }

  /** The value that `make` gave for `key` before, or gives now: for what several nodes share. */
  once(key: string, make: () => Value): Value {
    const cached = this.#memoized.get(key);
    if (cached !== undefined) return cached;
    const value = make();
    this.#memoized.set(key, value);
    return value;
  }

  /** The model, as ONNX Runtime reads it. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const model = create(ModelProtoSchema, {
      irVersion,
      opsetImport: operatorSets,
      producerName: 'keysieve',
      graph: {
        name: this.name,
        node: this.#nodes,
        initializer: [...this.#tensors.values()],
        input: this.#inputs,
        output: this.#outputs,
      },
    });
    return toBinary(ModelProtoSchema, model);
  }
}

function attributeProto(name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === 'number') return { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) };
  if ('text' in value) {
    return { name, type: AttributeProto_AttributeType.STRING, s: new TextEncoder().encode(value.text) };
  }
  if ('float' in value) return { name, type: AttributeProto_AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeProto_AttributeType.INTS, ints: value.map(BigInt) };
}

function valueInfo(
  name: Value,
  type: ElementType,
  shape: readonly Dimension[],
): MessageInitShape<typeof ValueInfoProtoSchema> {
  const dim = shape.map((size) => ({
    value:
      typeof size === 'number'
        ? ({ case: 'dimValue', value: BigInt(size) } as const)
        : ({ case: 'dimParam', value: size } as const),
  }));
  return {
    name,
    type: { value: { case: 'tensorType', value: { elemType: elementTypes[type], shape: { dim } } } },
  };
}
