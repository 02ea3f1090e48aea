/** The parameter blocks of one instance of the module: where they lie, and how they are written. */
import type { Pages } from '../layout.ts';
import { type StructName, type StructValues, structBytes, writeStruct } from '../structs.ts';
import type { Views } from '../views.ts';

export interface Blocks {
  /** The address of the block `Pages`, with these pages in it. */
  pages(pages: Pages): number;
  /** The address of another block, with these values in it, until the next block is written. */
  write<Name extends StructName>(name: Name, values: StructValues<Name>): number;
}

/** Blocks from `address` on: PARAMETER_BYTES that nobody else writes to. */
export function createBlocks(views: () => Views, address: number): Blocks {
  let current: Pages | undefined;
  const others = address + structBytes('Pages');
  return {
    pages(pages) {
      // Pages do not change, and most calls are for those of the call before.
      if (pages === current) return address;
      const { precision, storedPrecision } = pages;
      writeStruct(views(), address, 'Pages', {
        ...pages,
        isFloat16: precision === 'f16' ? 1 : 0,
        dropsExactRows: storedPrecision === 'int8' ? 1 : 0,
      });
      current = pages;
      return address;
    },
    write(name, values) {
      writeStruct(views(), others, name, values);
      return others;
    },
  };
}
