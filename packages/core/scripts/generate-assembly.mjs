/**
 * What TypeScript and AssemblyScript share, as an AssemblyScript source: the constants of `src/kernels/constants.ts`
 * and the parameter blocks of `src/kernels/structs.ts`.
 */
import { tsImport } from 'tsx/esm/api';

/** The text of `assembly/generated.ts`. */
export async function generateAssembly() {
  const constants = await tsImport('../src/kernels/constants.ts', import.meta.url);
  const { STRUCTS } = await tsImport('../src/kernels/structs.ts', import.meta.url);
  return [
    '// Made by packages/core/scripts/generate-assembly.mjs from src/kernels/{constants,structs}.ts: do not edit.',
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
