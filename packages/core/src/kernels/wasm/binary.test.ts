import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createKernels, KERNELS } from '../index.ts';
import { kernelBytes, wasmSupported } from './wasm-kernels.ts';

const script = fileURLToPath(new URL('../../../scripts/build-wasm.mjs', import.meta.url));
const moduleOf = (kind: 'shared' | 'plain') => new WebAssembly.Module(kernelBytes(kind));

describe('the compiled kernels', () => {
  it('and the constants of AssemblyScript are what their sources make', () => {
    execFileSync(process.execPath, [script, '--check'], { stdio: 'pipe' });
  });

  it('offer the same functions for both kinds of memory, and want nothing else', () => {
    const [shared, plain] = [moduleOf('shared'), moduleOf('plain')];
    expect(WebAssembly.Module.exports(plain)).toEqual(WebAssembly.Module.exports(shared));
    for (const module of [shared, plain]) {
      expect(WebAssembly.Module.imports(module)).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
    }
    expect(wasmSupported()).toBe(true);
  });

  it('put nothing of their own into the memory, which is not theirs', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    new WebAssembly.Instance(moduleOf('plain'), { env: { memory } });
    expect(bytes.every((byte) => byte === 0xa5)).toBe(true);
  });

  it('run on the memory that they are made for', () => {
    for (const shared of [true, false]) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared });
      for (const name of Object.keys(KERNELS) as (keyof typeof KERNELS)[]) {
        const kernels = createKernels(name, memory, 64);
        expect(kernels.name).toBe(name);
        kernels.initSoftmaxState(1024, 1, 8);
        expect(new Float32Array(memory.buffer)[256]).toBe(Number.NEGATIVE_INFINITY);
      }
    }
  });
});
