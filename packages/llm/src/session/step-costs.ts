/**
 * What a layer's step of attention takes on this machine, kept in the cache folder: measuring takes about a second, and
 * its answer changes with the machine, the engine that runs it and the shape of the layer only.
 */

import { measureStepCosts, type StepCosts } from 'keysieve';
import type { StepShape } from 'keysieve/engine';
import { cacheStore, createSha256, machine } from '#platform';
import { readJson, writeJson } from '../io/store.ts';

/** Part of the name of every measurement: raise it when steps have become faster or slower. */
const version = 4;

/** The costs for a layer of this shape: as they were measured before, or measured now. */
export async function stepCosts(
  { headDim, heads, keyValueHeads, precision, threads }: StepShape,
  cacheFolder: string | undefined,
): Promise<StepCosts> {
  const shape = { headDim, heads, keyValueHeads, precision, threads };
  const hash = createSha256();
  hash.update(JSON.stringify([machine(), version, shape]));
  const name = `step-costs/${hash.digest().slice(0, 40)}.json`;
  const store = cacheStore(cacheFolder);
  const cached = parseStepCosts(await readJson(store, name));
  if (cached !== undefined) return cached;
  const costs = await measureStepCosts(shape);
  await writeJson(store, name, costs);
  return costs;
}

function parseStepCosts(json: unknown): StepCosts | undefined {
  const { dense, sieve, certified } = (json ?? {}) as Partial<StepCosts>;
  const rates = [
    sieve?.perSampled,
    certified?.perRead,
    ...[dense, sieve, certified].flatMap((costs) => [costs?.fixed, costs?.perKey]),
  ];
  const isValid = rates.every((x) => Number.isFinite(x) && (x as number) >= 0);
  return isValid ? ({ dense, sieve, certified } as StepCosts) : undefined;
}
