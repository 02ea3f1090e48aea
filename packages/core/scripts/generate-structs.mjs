/**
 * What TypeScript and AssemblyScript share: the constants of `src/kernels/constants.ts` and the parameter blocks of
 * `src/kernels/structs.ts`, as sources for either side.
 */
import { tsImport } from 'tsx/esm/api';

const { STRUCTS } = await tsImport('../src/kernels/structs.ts', import.meta.url);

/** The text of `assembly/generated.ts`: the constants, and a class for each block. */
export async function generateAssembly() {
  const constants = await tsImport('../src/kernels/constants.ts', import.meta.url);
  return [
    '// Made by packages/core/scripts/generate-structs.mjs from src/kernels/{constants,structs}.ts: do not edit.',
    '',
    ...Object.entries(constants).map(([name, value]) => `export const ${name}: i32 = ${value};`),
    '',
    ...Object.entries(STRUCTS).flatMap(([name, fields]) => [
      `/** \`${name}\` of src/kernels/structs.ts. */`,
      '@unmanaged',
      `export class ${name} {`,
      ...Object.entries(fields).map(([field, type]) => `  ${field}: ${type};`),
      '}',
      '',
    ]),
  ].join('\n');
}

/** The text of `src/kernels/structs.generated.ts`: a writer for each block, field by field. */
export function generateWriters() {
  return [
    '// Made by packages/core/scripts/generate-structs.mjs from src/kernels/structs.ts: do not edit.',
    "import type { StructValues } from './structs.ts';",
    "import type { Views } from './views.ts';",
    '',
    ...Object.entries(STRUCTS).flatMap(([name, fields]) => {
      const arrays = [...new Set(Object.values(fields).map(arrayOf))].sort().reverse();
      return [
        `/** Writes the block \`${name}\` to an address, a multiple of 4. */`,
        `export function write${name}({ ${arrays.join(', ')} }: Views, address: number, values: StructValues<'${name}'>): void {`,
        '  const at = address / 4;',
        ...Object.entries(fields).map(([field, type], i) => `  ${arrayOf(type)}[at + ${i}] = values.${field};`),
        '}',
        '',
      ];
    }),
  ].join('\n');
}

/** The view that a field is written through; integers below 0 wrap. */
const arrayOf = (type) => (type === 'f32' ? 'f32' : 'u32');
