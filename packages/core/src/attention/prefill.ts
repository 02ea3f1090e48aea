/**
 * Sparse attention of a prompt: a task is one block of consecutive queries and one key-value head. Where a policy samples
 * blocks, the queries of a block share one sample of the keys (see `sieve/block.ts`).
 */
import { maxKeys } from '../budgets/budget.ts';
import { relativeError } from '../group/estimates.ts';
import type { GroupWork } from '../group/group-work.ts';
import { rowBytes } from '../kernels/layout.ts';
import type { BlockFindings, BlockSample, BlockSampling } from '../selectors/selector.ts';
import { estimateBlockError } from '../sieve/error-estimate.ts';
import { BLOCK_ERROR_NUMBERS } from '../sieve/head-budget-allocator.ts';
import { attendFullBlock, loadBlock, type QueryBlock, queryBlockOf, storeBlockOutputs } from './full.ts';
import type { Job } from './job.ts';
import { type RowResult, writeRowResult } from './row-result.ts';
import { headSegments, sinksOf, sparseParts, type ThreadContext } from './thread.ts';

export function prefillBlockTask(thread: ThreadContext, job: Job, task: number): void {
  const block = queryBlockOf(thread, job, task);
  const { budget, selector } = sparseParts(thread, job);
  const sampling = selector.blockSampling as BlockSampling;
  const head = block.keyValueHead * thread.groupSize;
  const budgetOf = (n: number) => maxKeys(budget, { n, layer: job.layer, head });
  const sample = sampling.plan(block.limit, budgetOf, job.budgetFactors[block.keyValueHead] as number);
  const blockErrors =
    sample === undefined
      ? attendBlockFully(thread, job, block)
      : attendBlockSampled(thread, job, block, sampling, sample);
  job.data.blockErrors.set(blockErrors, task * BLOCK_ERROR_NUMBERS);
}

/** What a block leaves for `HeadBudgetAllocator`. */
type BlockErrors = [squaredError: number, squaredOutput: number];

function attendBlockFully(thread: ThreadContext, job: Job, block: QueryBlock): BlockErrors {
  const { shape } = thread;
  attendFullBlock(thread, job, block);
  const bytes = 2 * block.n * rowBytes(shape.headDim, shape.precision);
  writeBlockResults(thread, job, block, bytes, (row, bytesRead) => ({
    keysExact: block.limit + Math.floor(row / thread.groupSize),
    keysQuantized: 0,
    bytesRead,
    tailMass: 0,
    outputError: 0,
    kind: 'certified',
    outcome: 'full',
  }));
  return [0, 0];
}

function attendBlockSampled(
  thread: ThreadContext,
  job: Job,
  block: QueryBlock,
  sampling: BlockSampling,
  sample: BlockSample,
): BlockErrors {
  const { shape, groupSize } = thread;
  const { rows, limit, n, keyValueHead } = block;
  const maxQueryNorm = loadBlock(thread, job, block);
  const work: GroupWork = {
    shape,
    layer: job.layer,
    head: keyValueHead * groupSize,
    rows,
    n,
    segments: headSegments(thread, job.segments, job.layer, keyValueHead, 0, n),
    queryNorms: [maxQueryNorm],
    sinks: sinksOf(thread, job.layer, keyValueHead * groupSize, groupSize),
    maxKeyNorm: job.norms[3 * keyValueHead] as number,
    maxValueNorm: 0,
    rmsValueNorm: job.norms[3 * keyValueHead + 2] as number,
  };
  const outcome = sampling.attend(work, { groupSize, limit }, sample);
  const { findings } = outcome;
  storeBlockOutputs(thread, job, block, outcome.region);
  const keysExact = outcome.sampledKeys + limit - sample.pastKeys;
  writeBlockResults(thread, job, block, outcome.bytesRead, (row, bytesRead) => ({
    keysExact: keysExact + Math.floor(row / groupSize),
    keysQuantized: 0,
    bytesRead,
    tailMass: Math.min(1, findings[row]?.halfSamples[0] as number),
    outputError: relativeError(estimateBlockError(findings[row] as BlockFindings, limit, work.rmsValueNorm)),
    kind: 'estimated',
    outcome: 'asSelected',
  }));
  const blockErrors: BlockErrors = [0, 0];
  for (const { halfSamples } of findings) {
    blockErrors[0] += halfSamples[1] as number;
    blockErrors[1] += halfSamples[2] as number;
  }
  return blockErrors;
}

/** Writes the results of a block's rows; the bytes, which they read together, stand with the first. */
function writeBlockResults(
  { heads, groupSize }: ThreadContext,
  { data }: Job,
  { first, rows, keyValueHead }: QueryBlock,
  bytesRead: number,
  resultOf: (row: number, bytesRead: number) => RowResult,
): void {
  for (let row = 0; row < rows; row++) {
    const index = (first + Math.floor(row / groupSize)) * heads + keyValueHead * groupSize + (row % groupSize);
    writeRowResult(data.results, index, resultOf(row, row === 0 ? bytesRead : 0));
  }
}
