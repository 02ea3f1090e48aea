/**
 * What a layer's step of attention takes on this machine, kept in the cache folder: measuring takes about a second, and
 * its answer changes with the machine, Node and the shape of the layer only.
 */
import { createHash } from 'node:crypto';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { measureStepCosts, type StepCosts, type StepShape } from 'keysieve';
import { cacheFolderPath, readJson, writeJson } from '../onnx/index.ts';

/** Part of the name of every measurement: raise it when steps have become faster or slower. */
const version = 2;

/** The costs for a layer of this shape: as they were measured before, or measured now. */
export async function stepCosts(
  { headDim, heads, keyValueHeads, precision, threads }: StepShape,
  cacheFolder: string | undefined,
): Promise<StepCosts> {
  const shape = { headDim, heads, keyValueHeads, precision, threads };
  const machine = [cpus()[0]?.model, cpus().length, process.version, version];
  const name = createHash('sha256')
    .update(JSON.stringify([machine, shape]))
    .digest('hex')
    .slice(0, 40);
  const path = join(cacheFolderPath(cacheFolder), 'step-costs', `${name}.json`);
  const cached = parseStepCosts(await readJson(path));
  if (cached !== undefined) return cached;
  const costs = await measureStepCosts(shape);
  await writeJson(path, costs);
  return costs;
}

function parseStepCosts(json: unknown): StepCosts | undefined {
  const { dense, sieve, certified } = (json ?? {}) as Partial<StepCosts>;
  const rates = [sieve?.perSampled, ...[dense, sieve, certified].flatMap((costs) => [costs?.fixed, costs?.perKey])];
  const isValid = rates.every((x) => Number.isFinite(x) && (x as number) >= 0);
  return isValid ? ({ dense, sieve, certified } as StepCosts) : undefined;
}
