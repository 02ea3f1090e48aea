/**
 * What a selector, a tail or an eviction outside this package is written with. Everything works on what it is given and
 * keeps no state, so it does not matter which copy of the package it comes from.
 */
export {
  type Budget,
  type BudgetContext,
  clampKeys,
  type KeyBudget,
  type MassTarget,
  maxKeys,
} from '../budgets/budget.ts';
export type { Eviction, HeadEvidence, KeptKeys, PromptEvidence } from '../evictions/eviction.ts';
export {
  attendAllKeys,
  attendList,
  attendPositions,
  exactRowBytes,
  extendLogSumExp,
  foldSegments,
  type GroupWork,
  type HeadSegment,
  listPartIn,
  logSumExp,
  primaryRegion,
  type RunningLogSumExp,
  rowLogSumExp,
  rowScores,
  scoreAllKeys,
  scoreStrideOf,
  selectedPositions,
  type ThreadRegion,
} from '../group/group-work.ts';
export {
  attendQuantized,
  boundAllScores,
  firstUnquantizedKey,
  mergeQuantizedStates,
  prepareQuantizedQueries,
  scanAllKeys,
  scoreQuantizedKeys,
  signScanBytes,
  workScanFractionBits,
} from '../group/quantized-work.ts';
export type { Workspace } from '../group/workspace.ts';
export {
  centreBytes,
  type Encoding,
  MIN_MAX_KEYS,
  PAGE_KEYS,
  pagesFor,
  quantizedRowBytes,
  rotatedDim,
  rowBytes,
} from '../kernels/layout.ts';
export { clustersOf } from '../remains/clusters.ts';
export type { CreateRemains, LeavingKeys, Remains, RemainsEstimate } from '../remains/remains.ts';
export { keysForMass, minReadScore, selectByScores } from '../selectors/by-scores.ts';
export { default as createOracle } from '../selectors/oracle.ts';
export {
  type BlockSampling,
  groupBudget,
  KEPT_RECENT_KEYS,
  type Selection,
  type Selector,
  SINK_KEYS,
  selectAllKeys,
  sinksAndRecent,
  writeSinksAndRecent,
} from '../selectors/selector.ts';
export { default as createWindow } from '../selectors/window.ts';
export { default as createNone } from '../tails/none.ts';
export { default as createPageMeans } from '../tails/page-means.ts';
export type { Tail, TailEstimate } from '../tails/tail.ts';
export { attendUnquantized, listUnselected } from '../tails/unselected.ts';
export type { EvictingDefinition, PolicyDefinition, SparseDefinition } from './definition.ts';
