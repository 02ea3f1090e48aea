/** The claims that are tried, in the order of the document. A new one is a file of its own and an entry here. */
import { adaptiveBudget } from './adaptive-budget.ts';
import { capturedMass } from './captured-mass.ts';
import type { Claim } from './claim.ts';
import { collapse } from './collapse.ts';
import { constantSupport } from './constant-support.ts';
import { entropyGrowth } from './entropy.ts';
import { flatHeads } from './flat-heads.ts';
import { logError } from './log-error.ts';
import { powerError } from './power-error.ts';

export const CLAIMS: readonly Claim[] = [
  powerError,
  logError,
  adaptiveBudget,
  collapse,
  capturedMass,
  flatHeads,
  constantSupport,
  entropyGrowth,
];
