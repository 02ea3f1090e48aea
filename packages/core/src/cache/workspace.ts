/**
 * The buffers of one thread in one region: everything that a kernel needs beside the pages, at fixed addresses.
 */
import { paddedRows, scratchBytes, stateBytes } from '../kernels/kernels.ts';
import type { Arena } from './arena.ts';

/** Byte addresses in a region's arena. */
export interface Workspace {
  /** Query rows, scaled by 1 / sqrt(d): (rows, d). */
  queries: number;
  /** A softmax state of `rows` rows. */
  state: number;
  /** Room that the kernels use as they please. */
  scratch: number;
  /** Scores of all keys for one row (capacity). */
  scores: number;
  /** Positions of selected keys (capacity), int32. */
  indices: number;
  /** Statistics of a sum of scores (2). */
  statistics: number;
}

export interface WorkspaceSize {
  /** Most query rows of one task. */
  rows: number;
  headDim: number;
  /** Most keys. */
  capacity: number;
}

/** Bytes of each buffer. */
export function workspaceSizes({ rows, headDim, capacity }: WorkspaceSize): Record<keyof Workspace, number> {
  return {
    queries: paddedRows(rows) * headDim * 4,
    state: stateBytes(rows, headDim),
    scratch: scratchBytes(rows, headDim),
    scores: (capacity + 8) * 4,
    indices: (capacity + 8) * 4,
    statistics: 16,
  };
}

/** Takes a workspace from an arena; undefined where it has no room. */
export function allocateWorkspace(arena: Arena, size: WorkspaceSize): Workspace | undefined {
  const workspace: Partial<Workspace> = {};
  for (const [name, bytes] of Object.entries(workspaceSizes(size))) {
    const address = arena.allocate(bytes);
    if (address === undefined) return undefined;
    workspace[name as keyof Workspace] = address;
  }
  return workspace as Workspace;
}
