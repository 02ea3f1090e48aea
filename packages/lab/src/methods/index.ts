/**
 * The systems of the literature, in the order of the document. A new one is a file of its own, which reads like its paper,
 * what it does on captured heads, in `readings/`, and an entry here.
 */
import { boundedEntries } from './bounded-entries.ts';
import { convBasis } from './conv-basis.ts';
import { featureSparsification } from './feature-sparsification.ts';
import { hintedBandit } from './hinted-bandit.ts';
import { kronecker } from './kronecker.ts';
import { latentSimplexMethod } from './latent-simplex.ts';
import { levAttention } from './lev-attention.ts';
import type { Method } from './method.ts';
import { onePass } from './one-pass.ts';
import { convolutionReading } from './readings/convolution.ts';
import { divisionReading } from './readings/division.ts';
import { featureReading } from './readings/features.ts';
import { leverageReading } from './readings/leverage.ts';
import { polynomialReading } from './readings/polynomial.ts';
import { remainsReading } from './readings/remains.ts';
import { residualReading } from './readings/residual.ts';
import { retentionReading } from './readings/retention.ts';
import { simplexReading } from './readings/simplex.ts';
import { surpriseReading } from './readings/surprise.ts';
import { residualSketch } from './residual-sketch.ts';
import { streamingSvm } from './streaming-svm.ts';
import { surpriseBound } from './surprise.ts';

/** All methods that can be tried. */
export const METHODS: readonly Method[] = [
  { ...levAttention, reading: leverageReading },
  { ...residualSketch, reading: residualReading },
  { ...convBasis, reading: convolutionReading },
  { ...onePass, reading: remainsReading },
  // No model has heads that attend to pairs.
  kronecker,
  { ...featureSparsification, reading: featureReading },
  { ...boundedEntries, reading: polynomialReading },
  { ...latentSimplexMethod, reading: simplexReading },
  { ...streamingSvm, reading: retentionReading },
  { ...hintedBandit, reading: divisionReading },
  { ...surpriseBound, reading: surpriseReading },
];
