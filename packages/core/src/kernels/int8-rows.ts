/**
 * Attention to rows that a cache keeps in int8 alone, by kernels that read floats: 64 rows at a time are dequantized
 * into a page of floats and attended there. They stay rotated: the rotation is orthogonal, so the queries are rotated
 * instead, once, and the outputs are rotated back.
 */
import { type Kernels, type Pages, stateBytes, stateOutputs } from './kernels.ts';
import { PAGE_KEYS, pageLayout, rotatedDim } from './layout.ts';
import type { Views } from './views.ts';

/** One call: what lies in its scratch, and what the wrapped kernels are given. */
interface Int8Call {
  /** D */
  dimensions: number;
  /** Rotated queries (rows, D). */
  queries: number;
  /** A state of rows of D numbers. */
  state: number;
  /** Scratch of the wrapped kernels. */
  scratch: number;
  /** The page of floats, as if it were page number `page` of a head. */
  pageAs(page: number): Pages;
  /** Dequantizes the listed rows, at most 64, into the page. */
  dequantize(what: 'keys' | 'values', indices: number, count: number): void;
  /** The positions 0 to 63 in the page. */
  positions: number;
}

/** `kernels`, of which those that read exact rows also read int8 rows. Scratch is that of `scratchBytes` for int8. */
export function withInt8Rows(kernels: Kernels, views: () => Views): Kernels {
  /** Lays out the scratch and rotates the queries, if there are any. */
  function startCall(pages: Pages, queries: number, rows: number, scratch: number): Int8Call {
    const dimensions = rotatedDim(pages.headDim);
    const rowBytes = dimensions * 4;
    const page = scratch;
    const keys = PAGE_KEYS * rowBytes;
    const table = page + 2 * keys;
    const positions = table + 64;
    const list = positions + PAGE_KEYS * 4;
    const rotatedQueries = list + PAGE_KEYS * 4;
    const state = rotatedQueries + stateBytes(rows, dimensions);
    const innerScratch = state + stateBytes(rows, dimensions);
    const { u32, i32 } = views();
    u32[table / 4] = page;
    for (let i = 0; i < PAGE_KEYS; i++) i32[positions / 4 + i] = i;
    if (queries !== 0) kernels.rotate(queries, rows, pages.headDim, rotatedQueries, innerScratch);
    kernels.initSoftmaxState(state, rows, dimensions);
    const floats = pageLayout(dimensions, 'f32');
    return {
      dimensions,
      queries: rotatedQueries,
      state,
      scratch: innerScratch,
      positions,
      pageAs(number) {
        const shifted = table - number * 4;
        const at = { table: shifted, headOffset: 0, exactTable: shifted, exactOffset: 0 };
        return { ...floats, ...at, storedPrecision: 'f32', basis: 0 };
      },
      dequantize(what, indices, count) {
        kernels.dequantizeRows(pages, what, indices, count, page + (what === 'keys' ? 0 : keys), innerScratch);
      },
    };
  }

  /** Adds the state of a call, rotated back, to a state of rows of d numbers. */
  function addToState(call: Int8Call, state: number, rows: number, headDim: number): void {
    const unrotated = call.queries;
    kernels.inverseRotate(stateOutputs(call.state, rows), rows, headDim, unrotated, call.scratch);
    // Now it is a state of rows of d numbers: its statistics are in place already.
    const { f32 } = views();
    f32.copyWithin(stateOutputs(call.state, rows) / 4, unrotated / 4, unrotated / 4 + rows * headDim);
    kernels.mergeState(state, call.state, rows, headDim);
  }

  /** Visits the pages of [from, to), with the list of each one's positions. */
  function eachPage(call: Int8Call, from: number, to: number, visit: (page: number, list: number) => void): void {
    const list = call.positions + PAGE_KEYS * 4;
    for (let page = Math.floor(from / PAGE_KEYS); page * PAGE_KEYS < to; page++) {
      const { i32 } = views();
      for (let i = 0; i < PAGE_KEYS; i++) i32[list / 4 + i] = page * PAGE_KEYS + i;
      visit(page, list);
    }
  }

  return {
    ...kernels,

    attendFull(pages, from, to, queries, state, scratch) {
      if (pages.precision !== 'int8') return kernels.attendFull(pages, from, to, queries, state, scratch);
      const { rows, group, limit } = queries;
      const end = Math.min(to, limit + Math.ceil(rows / group) - 1);
      if (end <= from) return;
      const call = startCall(pages, queries.address, rows, scratch);
      const rotated = { ...queries, address: call.queries };
      eachPage(call, from, end, (page, list) => {
        call.dequantize('keys', list, PAGE_KEYS);
        call.dequantize('values', list, PAGE_KEYS);
        const last = Math.min(end, (page + 1) * PAGE_KEYS);
        kernels.attendFull(call.pageAs(page), page * PAGE_KEYS, last, rotated, call.state, call.scratch);
      });
      addToState(call, state, rows, pages.headDim);
    },

    attendSelected(pages, indices, count, query, state, scratch) {
      if (pages.precision !== 'int8') return kernels.attendSelected(pages, indices, count, query, state, scratch);
      const call = startCall(pages, query, 1, scratch);
      for (let done = 0; done < count; done += PAGE_KEYS) {
        const chunk = Math.min(PAGE_KEYS, count - done);
        call.dequantize('keys', indices + done * 4, chunk);
        call.dequantize('values', indices + done * 4, chunk);
        kernels.attendSelected(call.pageAs(0), call.positions, chunk, call.queries, call.state, call.scratch);
      }
      addToState(call, state, 1, pages.headDim);
    },

    scoreKeys(pages, from, to, queries, rows, scores, stride, scratch) {
      if (pages.precision !== 'int8') {
        return kernels.scoreKeys(pages, from, to, queries, rows, scores, stride, scratch);
      }
      const call = startCall(pages, queries, rows, scratch);
      eachPage(call, from, to, (page, list) => {
        call.dequantize('keys', list, PAGE_KEYS);
        const [first, last] = [Math.max(from, page * PAGE_KEYS), Math.min(to, (page + 1) * PAGE_KEYS)];
        const target = scores + (first - from) * 4;
        kernels.scoreKeys(call.pageAs(page), first, last, call.queries, rows, target, stride, call.scratch);
      });
    },

    scoreSelected(pages, indices, count, queries, rows, scores, stride, scratch) {
      if (pages.precision !== 'int8') {
        return kernels.scoreSelected(pages, indices, count, queries, rows, scores, stride, scratch);
      }
      const call = startCall(pages, queries, rows, scratch);
      for (let done = 0; done < count; done += PAGE_KEYS) {
        const chunk = Math.min(PAGE_KEYS, count - done);
        call.dequantize('keys', indices + done * 4, chunk);
        const target = scores + done * 4;
        const list = [call.positions, chunk] as const;
        kernels.scoreSelected(call.pageAs(0), ...list, call.queries, rows, target, stride, call.scratch);
      }
    },

    addValues(pages, indices, count, scores, stride, rows, state, scratch) {
      if (pages.precision !== 'int8') {
        return kernels.addValues(pages, indices, count, scores, stride, rows, state, scratch);
      }
      const call = startCall(pages, 0, rows, scratch);
      for (let done = 0; done < count; done += PAGE_KEYS) {
        const chunk = Math.min(PAGE_KEYS, count - done);
        call.dequantize('values', indices + done * 4, chunk);
        const list = [call.positions, chunk] as const;
        kernels.addValues(call.pageAs(0), ...list, scores + done * 4, stride, rows, call.state, call.scratch);
      }
      addToState(call, state, rows, pages.headDim);
    },

    attendMasked(pages, indices, masks, count, queries, rows, state, scratch) {
      if (pages.precision !== 'int8') {
        return kernels.attendMasked(pages, indices, masks, count, queries, rows, state, scratch);
      }
      const call = startCall(pages, queries, rows, scratch);
      for (let done = 0; done < count; done += PAGE_KEYS) {
        const chunk = Math.min(PAGE_KEYS, count - done);
        call.dequantize('keys', indices + done * 4, chunk);
        call.dequantize('values', indices + done * 4, chunk);
        const list = [call.positions, masks + done * 4, chunk] as const;
        kernels.attendMasked(call.pageAs(0), ...list, call.queries, rows, call.state, call.scratch);
      }
      addToState(call, state, rows, pages.headDim);
    },

    attendGathered(pages, indices, count, biases, queries, rows, state, scratch) {
      if (pages.precision !== 'int8') {
        return kernels.attendGathered(pages, indices, count, biases, queries, rows, state, scratch);
      }
      const call = startCall(pages, queries, rows, scratch);
      for (let done = 0; done < count; done += PAGE_KEYS) {
        const chunk = Math.min(PAGE_KEYS, count - done);
        call.dequantize('keys', indices + done * 4, chunk);
        call.dequantize('values', indices + done * 4, chunk);
        const bias = biases + done * 4;
        kernels.attendGathered(
          call.pageAs(0),
          call.positions,
          chunk,
          bias,
          call.queries,
          rows,
          call.state,
          call.scratch,
        );
      }
      addToState(call, state, rows, pages.headDim);
    },
  };
}
