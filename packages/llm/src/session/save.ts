/** Saves what a session has read, in the format of docs/snapshots.md. */
import { PAGE_KEYS, type Policy, type PolicySpec } from 'keysieve';
import { llmError } from '../errors.ts';
import type { TransformerSegments } from '../model/index.ts';
import type { SnapshotHeader } from '../snapshot/format.ts';
import { compactRecordOf, recordOf } from '../snapshot/page-records.ts';
import { type CacheSettings, hashOf, policyText, rootOf } from '../snapshot/settings.ts';
import { type SnapshotWork, writeSnapshot } from '../snapshot/snapshot-file.ts';
import { type SnapshotTarget, writeTarget } from '../snapshot/target.ts';
import type { Sequence } from './forward-pass.ts';
import type { ScanBases } from './scan-calibration.ts';

export interface SaveOptions extends SnapshotWork {
  /**
   * Whether full pages are saved quantized to 8 bits, without their exact rows: less than half of the bytes, and another
   * session from what is restored, by the rounding. Default: false.
   */
  compact?: boolean | undefined;
}

/** What a session is saved from. */
export interface SaveParts {
  model: { name: string; segments: TransformerSegments; hash(): Promise<string> };
  sequence: Sequence;
  policy: Policy;
  prefill: Policy;
  denseFallback: boolean;
  /** The bases by which keys are scanned; undefined: by signs. */
  scanBases: ScanBases | undefined;
}

/** What the keys and values of a session depend on. */
export async function settingsOf({
  model,
  sequence,
  policy,
  prefill,
  scanBases,
}: Omit<SaveParts, 'denseFallback'>): Promise<CacheSettings> {
  const { segments } = model;
  return {
    model: await model.hash(),
    precision: segments.precision,
    rope: segments.ropeFingerprint,
    attention: policyText(policy),
    prefill: policyText(prefill),
    cache: sequence.attention.cache.shape,
    scan: scanBases === undefined ? 'signs' : `basis ${hashOf(JSON.stringify(scanBases))}`,
    pageKeys: PAGE_KEYS,
  };
}

/** Whether all that a session has read is in the pages of its cache. */
export const isInPages = ({ caches }: Sequence, policy: Policy): boolean =>
  policy.evicting === undefined && caches.inOneCache;

/** Throws `snapshot-unsupported`, `output-unwritable` and `aborted`. */
export async function saveSession(parts: SaveParts, target: SnapshotTarget, options: SaveOptions): Promise<void> {
  const { model, sequence, policy, prefill, denseFallback, scanBases } = parts;
  const { compact = false } = options;
  requirePages(sequence, policy);
  const settings = await settingsOf(parts);
  const { attention, tokens } = sequence;
  const { shape } = attention.cache;
  const isQuantized = compact && shape.precision !== 'int8';
  const header: SnapshotHeader = {
    settings: isQuantized ? { ...settings, cache: compactShape(settings) } : settings,
    modelName: model.name,
    session: {
      attention: specOf(policy),
      prefill: specOf(prefill),
      denseFallback,
      cachePrecision: shape.precision,
      encodings: shape.encodings,
      scan: scanBases === undefined ? 'signs' : 'basis',
    },
    firstPage: 0,
    prefix: rootOf(settings),
    keys: tokens.length,
    compact: isQuantized,
  };
  const last = Math.ceil(tokens.length / PAGE_KEYS) - 1;
  const record = isQuantized ? compactRecordOf : recordOf;
  await writeTarget(target, (editor) =>
    writeSnapshot(
      editor,
      header,
      (page) => record(sequence, page, page === last ? attention.headErrors : undefined),
      options,
    ),
  );
}

/** The shape of an int8 cache: its encodings are those that hold the rows. */
const compactShape = ({ cache }: CacheSettings) => ({
  ...cache,
  precision: 'int8' as const,
  encodings: ['sign', 'int4', 'int8', 'values'] as const,
});

const specOf = ({ parsed, budget }: Policy): PolicySpec => ({
  policy: parsed.policy,
  ...(budget && { budget: budget.name }),
  ...('plan' in parsed.budget && { plan: parsed.budget.plan }),
  ...(parsed.certify !== undefined && { certify: parsed.certify }),
});

export function requirePages(sequence: Sequence, policy: Policy): void {
  if (isInPages(sequence, policy)) return;
  throw llmError({
    code: 'snapshot-unsupported',
    problem:
      policy.evicting === undefined
        ? 'This model has layers with a window, which have forgotten keys that are before it.'
        : `The policy ${policy.name} forgets keys, by all that the prompt has attended to.`,
    remedy: 'Keep the prompt, and read it again.',
  });
}
