/**
 * The attention of several sequences at once: where they share an engine, threads take the tasks of all of them from one
 * queue, so that they are woken once, and wait for each other once.
 */
import { MAX_JOB_TASKS } from '../threads/control.ts';
import type { AttendRequest, AttendResult, Attention, PlannedJob } from './attention.ts';
import type { AttentionEngine } from './engine.ts';
import { MAX_BATCH_JOBS } from './job.ts';
import type { JobResults } from './runner.ts';

/** A request, and the attention that it is for. */
export interface SequenceRequest extends AttendRequest {
  attention: Attention;
}

/** What became of a request. */
export type AttendOutcome = AttendResult | { error: unknown };

/** A request that waits for others. */
interface Planned extends PlannedJob, AttendResult {
  index: number;
}

/** Attends for all requests; what `Attention.attend` gives or throws for each. Outputs are the same as of each alone. */
export function attendTogether(requests: readonly SequenceRequest[]): AttendOutcome[] {
  const outcomes: AttendOutcome[] = [];
  const batches = new Map<AttentionEngine, Planned[]>();
  const alone = (index: number) => {
    const { attention, ...request } = requests[index] as SequenceRequest;
    outcomes[index] = attempt(() => attention.attend(request));
  };

  function run(engine: AttentionEngine, batch: readonly Planned[]): void {
    let results: JobResults[];
    try {
      results = engine.runner.runAll(
        batch.map(({ request }) => request),
        engine.slabs.regions,
      );
    } catch (error) {
      // Whose fault it was shows where each is done by itself.
      for (const { index } of batch) {
        if (batch.length === 1) outcomes[index] = { error };
        else alone(index);
      }
      return;
    }
    for (const [i, { index, finish, outputs, report }] of batch.entries()) {
      finish(results[i] as JobResults);
      outcomes[index] = { outputs, report };
    }
  }

  for (const [index, { attention, ...request }] of requests.entries()) {
    let planned: ReturnType<Attention['plan']>;
    try {
      planned = attention.plan(request);
    } catch (error) {
      outcomes[index] = { error };
      continue;
    }
    if (planned === undefined) {
      alone(index);
      continue;
    }
    const { engine } = attention;
    const batch = batches.get(engine) ?? [];
    const tasks = batch.reduce((sum, each) => sum + each.tasks, planned.tasks);
    if (batch.length === MAX_BATCH_JOBS || tasks > MAX_JOB_TASKS) run(engine, batch.splice(0));
    batch.push({ ...planned, index });
    batches.set(engine, batch);
  }
  for (const [engine, batch] of batches) if (batch.length > 0) run(engine, batch);
  return outcomes;
}

function attempt(attend: () => AttendResult): AttendOutcome {
  try {
    return attend();
  } catch (error) {
    return { error };
  }
}
