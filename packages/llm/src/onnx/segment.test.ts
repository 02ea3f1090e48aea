import { describe, expect, it } from 'vitest';
import { floatTensor } from '#onnx-runtime';
import { Graph } from './graph.ts';
import { loadSegment } from './segment.ts';

const options = { weights: undefined, threads: 1 };

function negation(): Graph {
  const graph = new Graph('negation');
  graph.output('y', graph.node('Neg', [graph.input('x', 'float32', ['tokens', 2])]), 'float32', ['tokens', 2]);
  return graph;
}

describe('loadSegment', () => {
  it('says which graph cannot be loaded', async () => {
    const graph = new Graph('broken');
    graph.output('y', graph.node('NoSuchOperator', [graph.input('x', 'float32', [1])]), 'float32', [1]);
    await expect(loadSegment(graph, options)).rejects.toMatchObject({
      code: 'backend-failed',
      message: expect.stringContaining('load broken'),
      found: expect.stringContaining('NoSuchOperator'),
    });
  });

  it('says that weights are missing', async () => {
    const graph = negation();
    const weights = graph.external('weights', 'float32', [2], { offset: 0, byteLength: 8 });
    graph.output('z', graph.node('Add', ['x', weights]), 'float32', ['tokens', 2]);
    await expect(loadSegment(graph, { ...options, weights: { path: '/nowhere/weights.bin' } })).rejects.toMatchObject({
      code: 'backend-failed',
    });
  });

  it('stays usable after a run that failed', async () => {
    const segment = await loadSegment(negation(), options);
    await expect(segment.run({ x: floatTensor(new Float32Array(3), [1, 3]) })).rejects.toMatchObject({
      code: 'backend-failed',
      message: expect.stringContaining('run negation'),
    });
    expect(await segment.run({ x: floatTensor(Float32Array.of(1, 2), [1, 2]) })).toEqual({
      y: Float32Array.of(-1, -2),
    });
    await segment.release();
  });

  it('reads shared memory', async () => {
    const segment = await loadSegment(negation(), options);
    const shared = new Float32Array(new SharedArrayBuffer(16)).subarray(1, 3);
    shared.set([1, 2]);
    expect(await segment.run({ x: floatTensor(shared, [1, 2]) })).toEqual({ y: Float32Array.of(-1, -2) });
    await segment.release();
  });
});
