/** The parameter blocks of one instance of the module: where they lie, and how they are written. */
import type { Pages } from '../layout.ts';
import { writePages } from '../structs.generated.ts';
import { structBytes } from '../structs.ts';
import type { Views } from '../views.ts';

export interface Blocks {
  /** The address of the block `Pages`, with these pages in it. */
  pages(pages: Pages): number;
  /** Writes another block, and returns its address. It holds until the next one is written. */
  write<Values>(writer: (views: Views, address: number, values: Values) => void, values: Values): number;
}

/** Blocks from `address` on: PARAMETER_BYTES that nobody else writes to. */
export function createBlocks(views: () => Views, address: number): Blocks {
  let current: Pages | undefined;
  const others = address + structBytes('Pages');
  return {
    pages(pages) {
      // Pages do not change, and most calls are for those of the call before.
      if (pages === current) return address;
      writePages(views(), address, {
        exactTable: pages.exactTable,
        exactOffset: pages.exactOffset,
        headDim: pages.headDim,
        isFloat16: pages.precision === 'f16' ? 1 : 0,
        dropsExactRows: pages.storedPrecision === 'int8' ? 1 : 0,
        table: pages.table,
        headOffset: pages.headOffset,
        sign: pages.sign,
        bounds: pages.bounds,
        int4: pages.int4,
        int8: pages.int8,
        values: pages.values,
        summary: pages.summary,
        minMax: pages.minMax,
        basis: pages.basis,
      });
      current = pages;
      return address;
    },
    write(writer, values) {
      writer(views(), others, values);
      return others;
    },
  };
}
