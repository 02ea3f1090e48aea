/** The systems of the literature, in the order of the document. A new one is a file of its own and an entry here. */
import { boundedEntries } from './bounded-entries.ts';
import { convBasis } from './conv-basis.ts';
import { featureSparsification } from './feature-sparsification.ts';
import { hintedBandit } from './hinted-bandit.ts';
import { kronecker } from './kronecker.ts';
import { latentSimplexMethod } from './latent-simplex.ts';
import { levAttention } from './lev-attention.ts';
import type { Method } from './method.ts';
import { onePass } from './one-pass.ts';
import { residualSketch } from './residual-sketch.ts';
import { streamingSvm } from './streaming-svm.ts';
import { surpriseBound } from './surprise.ts';

export const METHODS: readonly Method[] = [
  levAttention,
  residualSketch,
  convBasis,
  onePass,
  kronecker,
  featureSparsification,
  boundedEntries,
  latentSimplexMethod,
  streamingSvm,
  hintedBandit,
  surpriseBound,
];
