/** What "error" can mean on Gaussian inputs: each spread with each quantity, and with each kind of values it depends on. */
import type { Quantity } from './row.ts';
import type { Source, Study } from './source.ts';

export interface Reading {
  source: Source;
  quantity: Quantity;
  /** The inputs in words. */
  on: string;
}

/** Quantities of the softmax alone come once for each spread, those of the output once for each kind of values. */
export function readingsOf({ gaussian }: Study): Reading[] {
  const spreads = gaussian.filter(({ name }) => name.endsWith('independent'));
  const onSoftmax = (quantity: Quantity) =>
    spreads.map((source) => ({ source, quantity, on: source.name.replace(/, values.*/, '') }));
  const onOutput = (quantity: Quantity) => gaussian.map((source) => ({ source, quantity, on: source.name }));
  return [...onSoftmax('matrix'), ...onOutput('outputAbsolute'), ...onOutput('output'), ...onSoftmax('tailMass')];
}
