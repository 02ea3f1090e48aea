import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { floatTensor } from '#onnx-runtime';
import { ModelProtoSchema } from './generated/onnx_pb.ts';
import { Graph } from './graph.ts';
import { loadSegment } from './segment.ts';

const read = (graph: Graph) => fromBinary(ModelProtoSchema, graph.toBytes());

describe('Graph', () => {
  it('writes a model that ONNX Runtime runs', async () => {
    const graph = new Graph('sums');
    const x = graph.input('x', 'float32', ['tokens', 2]);
    const [left, right] = graph.nodes('Split', [x, graph.integers([1, 1])], 2, { attributes: { axis: -1 } }) as [
      string,
      string,
    ];
    const sum = graph.node('Add', [graph.node('Mul', [left, graph.scalar(10)]), right]);
    graph.output('sum', sum, 'float32', ['tokens', 1]);
    const segment = await loadSegment(graph, { weights: undefined, threads: 1 });
    expect(await segment.run({ x: floatTensor(Float32Array.of(1, 2, 3, 4), [2, 2]) })).toEqual({
      sum: Float32Array.of(12, 34),
    });
    await segment.release();
  });

  it('stores a tensor of the weights file once, by its name', () => {
    const graph = new Graph('external');
    const place = { offset: 4096, byteLength: 24 };
    const tensor = graph.external('output_norm.weight', 'float32', [2, 3], place);
    expect(graph.external('output_norm.weight', 'float32', [2, 3], place)).toBe(tensor);
    const [initializer, ...others] = read(graph).graph?.initializer ?? [];
    expect(others).toEqual([]);
    expect(initializer?.name).toBe('output_norm.weight');
    expect(initializer?.dims).toEqual([2n, 3n]);
    expect(Object.fromEntries(initializer?.externalData.map(({ key, value }) => [key, value]) ?? [])).toEqual({
      location: 'weights.bin',
      offset: '4096',
      length: '24',
    });
  });

  it('names nodes by what they are about', () => {
    const graph = new Graph('named');
    graph.node('MatMul', ['x', 'y'], { about: 'blk.0.attn_q.weight' });
    expect(read(graph).graph?.node[0]?.name).toBe('blk.0.attn_q.weight MatMul_0');
  });

  it('makes what nodes share once', () => {
    const graph = new Graph('shared');
    const x = graph.input('x', 'float32', [1]);
    const double = () => graph.once('2 x', () => graph.node('Add', [x, x]));
    expect(double()).toBe(double());
    expect(read(graph).graph?.node).toHaveLength(1);
  });

  it('writes attributes of each kind', () => {
    const graph = new Graph('attributes');
    graph.node('Thing', [], { domain: 'com.microsoft', attributes: { a: 3, b: { float: 0.5 }, c: [1, 2] } });
    const node = read(graph).graph?.node[0];
    expect(node).toMatchObject({ opType: 'Thing', domain: 'com.microsoft' });
    expect(node?.attribute.map(({ name, i, f, ints }) => ({ name, i, f, ints }))).toEqual([
      { name: 'a', i: 3n, f: 0, ints: [] },
      { name: 'b', i: 0n, f: 0.5, ints: [] },
      { name: 'c', i: 0n, f: 0, ints: [1n, 2n] },
    ]);
  });
});
