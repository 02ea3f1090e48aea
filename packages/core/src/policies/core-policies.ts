/** The policies of this package. */
import { createVotes } from '../evictions/votes.ts';
import { BUFFER_KEYS } from '../remains/clusters.ts';
import createInt8Scan from '../selectors/int8-scan.ts';
import createOracle from '../selectors/oracle.ts';
import createWindow from '../selectors/window.ts';
import { createSampledTail, createSieve } from '../sieve/sieve.ts';
import { attendSievePart, mergeSieveParts, partBytes } from '../sieve/split-step.ts';
import { attendSieve } from '../sieve/step.ts';
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
    certifiesMass: true,
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
    kind: 'evicting',
    name: 'remains',
    meaning: 'the keys that recent queries attend to, and clusters of all others, which are dropped',
    eviction: () => createVotes({ name: 'remains', promptPart: BUFFER_KEYS }),
  },
  {
    kind: 'evicting',
    name: 'remains-late',
    meaning: 'as remains, but nothing is dropped before the prompt is over',
    eviction: () => createVotes({ name: 'remains-late' }),
  },
] as const satisfies readonly PolicyDefinition[];
