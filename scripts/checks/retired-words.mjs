/**
 * Words and names that this project no longer uses, with what to write instead. `docs/glossary.md` has the terms.
 *
 * PROSE is looked for in all text: comments, messages, help and documents. NAMES are identifiers, and
 * VAGUE_VARIABLES identifiers only where a variable or parameter is declared: as words they are fine.
 */

/** `except` is for files where the word means something else. @type {{ pattern: RegExp, instead: string, except?: RegExp }[]} */
export const PROSE = [
  { pattern: /\bso[- ]many(?:-th)?\b/i, instead: 'a number, "N", "every Nth" or "at most N"' },
  { pattern: /\bas many as\b/i, instead: '"at most N", "N" or a plain comparison' },
  { pattern: /\bin the mean\b/i, instead: '"on average"' },
  { pattern: /\bcom(?:e|es|ing) to\b(?! an end| the same)/i, instead: '"amounts to", "adds up to" or "is"' },
  { pattern: /(?<!grid-)\bcoded\b/i, instead: '"quantized"' },
  { pattern: /\bby (?:its|their|the)? ?codes\b/i, instead: '"quantized" or "from 4-bit codes"' },
  { pattern: /\bplanes?\b/i, instead: '"encoding"', except: /\/law\/surfaces\.ts$/ },
  { pattern: /\bboxes\b/i, instead: '"minMax" or "per-page minima and maxima"' },
  { pattern: /\battend(?:ed|s|ing)? densely\b/i, instead: '"full attention"' },
  { pattern: /\bdense half\b/i, instead: '"non-attention layers"' },
  { pattern: /\bthe guard\b/i, instead: '"the dense fallback"' },
  { pattern: /\bseal(?:ed|ing|s)?\b/i, instead: '"quantize"' },
  { pattern: /\b(?:there is|has) no such\b/i, instead: '"Unknown X \'found\'."' },
  { pattern: /\babove 0 and at most\b/i, instead: '"in (0, 1]"' },
  { pattern: /\blook for the fault\b/i, instead: '"Check ..."' },
  { pattern: /\bwanted a core\b/i, instead: '"load average"' },
  { pattern: /\bits time \/ ours\b/i, instead: '"slowdown vs ours"' },
];

/** @type {Record<string, string>} */
export const NAMES = {
  toUpper16: 'toBfloat16Ceil',
  CodeKernels: 'QuantizedKernels',
  codedBytes: 'quantizedRowBytes',
  seal: 'quantizePage',
  widenRows: 'dequantizeRows',
  rotateBack: 'inverseRotate',
  turnedBack: 'inverseRotate',
  temper: 'proposalExponent',
  poolScans: 'maxOverHeads',
  weighScores: 'applyImportanceWeights',
  estimateMass: 'approximateLogSumExp',
  absorbMass: 'updateLogSumExp',
  startState: 'initSoftmaxState',
  finishState: 'normalize',
  TURN_STEP: 'DRAW_STRIDE',
  HeadQuery: 'GroupWork',
  SoftmaxSum: 'RunningLogSumExp',
  logOf: 'logSumExp',
  homeOf: 'primaryRegion',
  carryState: 'foldSegments',
  openFrom: 'firstUnquantizedKey',
  movedByRounding: 'maxScoreRoundingError',
  cutsClosed: 'truncatesQuantizedPage',
  isGuarded: 'fullAttentionIsFaster',
  grain: 'blockSize',
  readOn: 'certificateFallbacks',
  noteGroup: 'writeGroupResult',
  noteResult: 'writeRowResult',
  attendChosen: 'attendSelection',
  Evicting: 'EvictionRunner',
  Attended: 'SieveStepResult',
  keptOf: 'alwaysIncludedKeys',
  drops: 'dropsTail',
  readsSample: 'requiresSample',
  perLength: 'slope',
  HALVINGS: 'BISECTION_STEPS',
  PRICES: 'MAX_LOG_PRICE',
  drawTogether: 'shrinkToMean',
  LawTotal: 'BudgetTarget',
  ABOVE_ALL: 'a name for the sentinel it is',
  doublings: 'shift',
  DenseModel: 'TransformerSegments',
  fewestOfMany: 'WIDE_SEGMENT_MIN_ROWS',
  Form: 'WeightEncoding',
  BlockForm: 'BlockQuantized',
  RowForm: 'RowInt8',
  ByteCodes: 'Int8Signedness',
  stretched: 'ropeExtended',
  Wish: 'QualityTarget',
  breathe: 'yieldToEventLoop',
  told: 'policyKey, or what it is',
  keysRead: 'keysExact',
  keysCoded: 'keysQuantized',
  policyPlanes: 'policyEncodings',
};

/** Constants whose name begins so have a maximum or a minimum in them. */
export const NAME_PREFIXES = /^(?:MOST|LARGEST|LEAST|SMALLEST|FEWEST|LONGEST)_/;

export const VAGUE_VARIABLES = new Set(['wanted', 'told', 'known', 'given', 'asked', 'own', 'some', 'here', 'there']);

/** A doc comment is shown apart from its neighbours, so it cannot begin by pointing at one. */
export const DANGLING =
  /^(?:Of each|Of the|The same(?=[.,;:]| (?:of|for|with|as|up|but|and|to|on|at)\b)|Those|So many|As many)\b/;
