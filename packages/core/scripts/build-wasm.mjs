/**
 * Writes assembly/generated.ts and src/kernels/structs.generated.ts (see `generate-structs.mjs`), then compiles the
 * AssemblyScript kernels twice, for shared memory (worker threads) and for plain memory (where SharedArrayBuffer is
 * missing). Both differ only in the flags of the memory that they import: one goes into src/kernels/wasm/binary.ts, with
 * the place of these flags, so that a bundler needs no loader for it. It is hexadecimal, because gzip finds what repeats
 * in it, which base64 hides. With --check it compares instead of writing, and fails where a file is out of date.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import { generateAssembly, generateWriters } from './generate-structs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = fileURLToPath(new URL('../src/kernels/wasm/binary.ts', import.meta.url));
const generated = fileURLToPath(new URL('../assembly/generated.ts', import.meta.url));
const writers = fileURLToPath(new URL('../src/kernels/structs.generated.ts', import.meta.url));
const checks = process.argv.includes('--check');

await writeOrCheck(generated, await generateAssembly());
await writeOrCheck(writers, generateWriters());

const common = [
  'assembly/index.ts',
  '--baseDir',
  root,
  '--runtime',
  'stub',
  '--importMemory',
  '--noExportMemory',
  '--noAssert',
  '-O3',
  '--use',
  'abort=',
  '--initialMemory',
  '1',
  '--maximumMemory',
  '65536',
];

async function compile(extra) {
  let binary;
  const { error, stderr } = await asc.main([...common, ...extra, '--outFile', 'kernels.wasm'], {
    writeFile: (_name, contents) => {
      binary = contents;
    },
  });
  if (error) throw new Error(`asc failed: ${error.message}\n${stderr}`);
  return binary;
}

/** Flags of a memory's limits: it has a maximum; it has one and is shared. */
const PLAIN = 1;
const SHARED = 3;

const shared = await compile(['--enable', 'simd,bulk-memory,threads', '--sharedMemory']);
const plain = await compile(['--enable', 'simd,bulk-memory']);
const flags = shared.findIndex((byte, i) => byte !== plain[i]);
const expected = Uint8Array.from(shared);
expected[flags] = PLAIN;
if (shared[flags] !== SHARED || Buffer.compare(expected, plain) !== 0) {
  throw new Error('The kernels for shared and for plain memory differ in more than the flags of their memory.');
}
const text = `// Made by packages/core/scripts/build-wasm.mjs from packages/core/assembly: do not edit.

/** The kernels for a memory that threads share, hexadecimal. */
export const SHARED_KERNELS =
  '${Buffer.from(shared).toString('hex')}';

/** Where the flags of the memory are, which are ${SHARED} for one that threads share and ${PLAIN} for that of one thread. */
export const MEMORY_FLAGS = { at: ${flags}, plain: ${PLAIN} };
`;

await writeOrCheck(target, text);

async function writeOrCheck(path, contents) {
  if (!checks) return writeFile(path, contents);
  if ((await readFile(path, 'utf8')) === contents) return;
  console.error(`${path} is not what its sources make: run npm run build:wasm`);
  process.exit(1);
}
