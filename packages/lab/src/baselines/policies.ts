/** The baselines, as core registers them: see `registerBaselines`. */
import type { PolicyModule } from 'keysieve/extend';
import { createH2o } from './h2o.ts';
import { createInt4Cache } from './int4-cache.ts';
import { createInt8Cache } from './int8-cache.ts';
import { createQuest } from './quest.ts';
import { createSignScan } from './sign-scan.ts';
import { createSnapkv } from './snapkv.ts';
import { createTova } from './tova.ts';
import { createTwilight } from './twilight.ts';

/** A new baseline is a file beside this one and an entry here. */
const createBaselines: PolicyModule = (api) => [
  {
    kind: 'sparse',
    name: 'sign',
    meaning: 'the keys with the largest scores by their signs (RaBitQ, arXiv 2405.12497)',
    selector: () => createSignScan(api),
    tail: api.createNone,
  },
  {
    kind: 'sparse',
    name: 'quest',
    meaning: 'groups of 16 keys with the largest bounds on their scores (Quest, arXiv 2406.10774)',
    selector: () => createQuest(api),
    tail: api.createNone,
  },
  {
    kind: 'sparse',
    name: 'twilight',
    meaning:
      'the keys with the largest scores by 4-bit keys, up to a share of the softmax (Twilight, arXiv 2502.02770)',
    selector: () => createTwilight(api),
    tail: api.createNone,
  },
  {
    kind: 'sparse',
    name: 'dense-int8',
    meaning: 'every key in 8 bits, except the first and the last, which the budget counts (KIVI, arXiv 2402.02750)',
    selector: api.createWindow,
    tail: () => createInt8Cache(api),
  },
  {
    kind: 'sparse',
    name: 'dense-int4',
    meaning: 'every key in 4 bits, except the first and the last, which the budget counts (KIVI, arXiv 2402.02750)',
    selector: api.createWindow,
    tail: () => createInt4Cache(api),
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
    meaning: 'what is left when every query drops the key of least weight (TOVA, arXiv 2401.06104)',
    eviction: createTova,
  },
];

export default createBaselines;
