/** Ranges of a Blob, such as a file that was dropped on a page: nothing of it is copied but what is read. */
import { type ByteSource, SourceError } from './source.ts';

export function openBlob(blob: Blob): ByteSource {
  const file = blob as Partial<File>;
  const name = file.name || 'a Blob without a name';
  let closed = false;
  const close = async () => {
    closed = true;
  };
  return {
    name,
    byteLength: blob.size,
    modifiedMs: file.lastModified ?? 0,
    async read(target, position) {
      if (closed) throw new SourceError('closed', name, 'a source that was closed');
      try {
        const bytes = new Uint8Array(await blob.slice(position, position + target.length).arrayBuffer());
        target.set(bytes);
        return bytes.length;
      } catch (cause) {
        // A file that was changed, moved or deleted after it was chosen.
        throw new SourceError('unreadable', name, cause instanceof Error ? cause.name : String(cause), cause);
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
