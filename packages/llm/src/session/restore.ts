/** Makes a session of what was saved. */

import type { KeysieveError } from 'keysieve';
import { openSource, warn } from '#platform';
import { checkOptional, checkSignal, isFunction } from '../arguments.ts';
import { llmError } from '../errors.ts';
import { type ByteSource, SourceError, type SourceLocation } from '../io/source.ts';
import { invalid, type SnapshotHeader } from '../snapshot/format.ts';
import { appendCompactRecord, appendRecord } from '../snapshot/page-records.ts';
import { type CacheSettings, differingSetting, SETTING_NAMES } from '../snapshot/settings.ts';
import { readSnapshot, type SnapshotReader, type SnapshotWork } from '../snapshot/snapshot-file.ts';
import type { Sequence } from './forward-pass.ts';
import { createSession, type Session, type SessionModel } from './session.ts';
import type { SessionOptions } from './session-options.ts';

/** Options of a session that differ from how it was saved, and how to follow and abort the reading. */
export type RestoreOptions = SessionOptions & SnapshotWork;

/**
 * Throws `snapshot-not-found`, `snapshot-invalid`, `snapshot-version`, `snapshot-foreign`, `aborted` and what making a
 * session throws.
 */
export async function restoreSession(
  model: SessionModel,
  location: SourceLocation,
  { onProgress, signal, ...options }: RestoreOptions,
): Promise<Session> {
  checkOptional('onProgress', onProgress, isFunction, 'a function');
  checkSignal(signal);
  try {
    await using source = await openSource(location);
    const reader = await readSnapshot(source);
    const { session: saved } = reader.header;
    if (saved === undefined) throw invalid(source.name, 'the beginning of prompts, and no session');
    return await createSession(model, { ...saved, ...options }, (sequence, settings) =>
      fill(sequence, settings, reader, source, model, { onProgress, signal }),
    );
  } catch (error) {
    throw error instanceof SourceError ? sourceError(error) : error;
  }
}

async function fill(
  sequence: Sequence,
  settings: CacheSettings,
  reader: SnapshotReader,
  source: ByteSource,
  model: SessionModel,
  work: SnapshotWork,
): Promise<void> {
  const { header } = reader;
  requireSettings(header, settings, source.name);
  const append = header.compact ? appendCompactRecord : appendRecord;
  const { attention, tokens } = sequence;
  for await (const record of reader.records(work)) {
    if (record.tokens.some((token) => token >= model.segments.config.vocabularySize)) break;
    append(sequence, record);
    if (record.headErrors !== undefined) attention.restoreHeadErrors(record.headErrors);
  }
  const lost = header.keys - tokens.length;
  if (lost === 0) return;
  warn(`${source.name} is damaged: ${lost} of ${header.keys} tokens are read again when they come.`, {
    code: 'snapshot-damaged',
  });
}

function requireSettings(header: SnapshotHeader, settings: CacheSettings, name: string): void {
  const names = ['model', 'precision', 'rope', 'pageKeys'] as const;
  const differing = differingSetting(header.settings, settings, header.compact ? names : [...names, 'cache', 'scan']);
  if (differing === undefined && header.keys <= 2 ** 31) return;
  throw llmError({
    code: 'snapshot-foreign',
    problem: `${name} was saved with other settings: ${SETTING_NAMES[differing ?? 'cache']}.`,
    found: JSON.stringify(header.settings[differing ?? 'cache']),
    remedy: `Restore it as it was saved, or read the prompt again. Here it is ${JSON.stringify(settings[differing ?? 'cache'])}.`,
  });
}

function sourceError(error: SourceError): KeysieveError {
  return llmError({
    code: error.fault === 'not-found' ? 'snapshot-not-found' : 'snapshot-invalid',
    problem: `${error.source} cannot be restored.`,
    found: error.found,
    remedy: 'Check the path, or save the session first.',
    cause: error,
  });
}
