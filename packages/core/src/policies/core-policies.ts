/** The policies of this package. */
import createH2o from '../evictions/h2o.ts';
import createSnapkv from '../evictions/snapkv.ts';
import createTova from '../evictions/tova.ts';
import createInt8Scan from '../selectors/int8-scan.ts';
import createOracle from '../selectors/oracle.ts';
import createQuest from '../selectors/quest.ts';
import createSignScan from '../selectors/sign-scan.ts';
import createTwilight from '../selectors/twilight.ts';
import createWindow from '../selectors/window.ts';
import createSieve from '../sieve/selector.ts';
import { attendSievePart, mergeSieveParts, partBytes } from '../sieve/split-step.ts';
import { attendSieve } from '../sieve/step.ts';
import createSampledTail from '../sieve/tail.ts';
import createInt4Tail from '../tails/int4.ts';
import createInt8Tail from '../tails/int8.ts';
import createNone from '../tails/none.ts';
import createPageMeans from '../tails/page-means.ts';
import createQuantized from '../tails/quantized.ts';
import type { PolicyDefinition } from './definition.ts';

/** A new policy is an entry here, with a selector and a tail. */
export const CORE_POLICIES = [
  { kind: 'dense', name: 'dense', meaning: 'every key' },
  {
    kind: 'sparse',
    name: 'sieve',
    meaning: 'the heaviest keys of a sample exactly, and the rest of the sample by 4-bit keys and values',
    selector: createSieve,
    tail: createSampledTail,
    step: { attend: attendSieve, split: { bytes: partBytes, attend: attendSievePart, merge: mergeSieveParts } },
  },
  {
    kind: 'sparse',
    name: 'int8',
    meaning: 'the keys with the largest bounds on their scores by int8 keys; certified with a budget of tail mass',
    selector: createInt8Scan,
    tail: createNone,
  },
  {
    kind: 'sparse',
    name: 'int8-means',
    meaning: 'the keys of int8, and every page of the others as its mean',
    selector: createInt8Scan,
    tail: createPageMeans,
  },
  {
    kind: 'sparse',
    name: 'int8-tail',
    meaning: 'the keys of int8, and the others by their int8 keys and 4-bit values, with a certified output',
    selector: createInt8Scan,
    tail: createQuantized,
  },
  {
    kind: 'sparse',
    name: 'topk',
    meaning: 'the keys with the largest scores, which it finds by scoring all of them: what a selector can reach',
    selector: createOracle,
    tail: createNone,
  },
  {
    kind: 'sparse',
    name: 'topk-means',
    meaning: 'the keys of topk, and every page of the others as its mean',
    selector: createOracle,
    tail: createPageMeans,
  },
  {
    kind: 'sparse',
    name: 'window',
    meaning: 'the first keys and the last (StreamingLLM, arXiv 2309.17453)',
    selector: createWindow,
    tail: createNone,
  },
  {
    kind: 'sparse',
    name: 'sign',
    meaning: 'the keys with the largest scores by their signs (RaBitQ, arXiv 2405.12497)',
    selector: createSignScan,
    tail: createNone,
  },
  {
    kind: 'sparse',
    name: 'quest',
    meaning: 'boxes of 16 keys with the largest bounds on their scores (Quest, arXiv 2406.10774)',
    selector: createQuest,
    tail: createNone,
  },
  {
    kind: 'sparse',
    name: 'twilight',
    meaning:
      'the keys with the largest scores by 4-bit keys, up to a share of the softmax (Twilight, arXiv 2502.02770)',
    selector: createTwilight,
    tail: createNone,
  },
  {
    kind: 'sparse',
    name: 'dense-int8',
    meaning: 'every key by 8 bits, but for the first and the last, which the budget counts (KIVI, arXiv 2402.02750)',
    selector: createWindow,
    tail: createInt8Tail,
  },
  {
    kind: 'sparse',
    name: 'dense-int4',
    meaning: 'every key by 4 bits, but for the first and the last, which the budget counts (KIVI, arXiv 2402.02750)',
    selector: createWindow,
    tail: createInt4Tail,
  },
  {
    kind: 'evicting',
    name: 'h2o',
    meaning: 'recent keys and those that have received the most attention (H2O, arXiv 2306.14048)',
    eviction: createH2o,
  },
  {
    kind: 'evicting',
    name: 'snapkv',
    meaning: 'the keys of the prompt that its last queries attend to, and all later ones (SnapKV, arXiv 2404.14469)',
    eviction: createSnapkv,
  },
  {
    kind: 'evicting',
    name: 'tova',
    meaning: 'the keys that every last query leaves when it drops the one of least weight (TOVA, arXiv 2401.06104)',
    eviction: createTova,
  },
] as const satisfies readonly PolicyDefinition[];
