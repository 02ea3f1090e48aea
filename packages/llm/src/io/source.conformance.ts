/** What every source of bytes must do. */
import { describe, expect, it } from 'vitest';
import type { ByteSource } from './source.ts';

/** What a test needs of one kind of source. */
export interface SourceRig {
  /** Opens a source of these bytes. */
  open(bytes: Uint8Array<ArrayBuffer>): Promise<ByteSource>;
  /** Opens what is not there. */
  openMissing?: (() => Promise<ByteSource>) | undefined;
}

/** Numbers that differ from those around them. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
}

export function describeSource(name: string, rig: SourceRig): void {
  describe(`bytes of ${name}`, () => {
    it('are read by ranges, and say how many there are', async () => {
      const bytes = pattern(100_000);
      await using source = await rig.open(bytes);
      expect(source.byteLength).toBe(bytes.length);
      expect(source.name).not.toBe('');
      for (const [from, length] of [
        [0, 10],
        [4095, 2],
        [99_990, 10],
        [0, 100_000],
        [50_000, 0],
      ] as const) {
        const target = new Uint8Array(length);
        expect(await source.read(target, from)).toBe(length);
        expect(target).toEqual(bytes.subarray(from, from + length));
      }
    });

    it('end where they end', async () => {
      await using source = await rig.open(pattern(10));
      const target = new Uint8Array(6).fill(99);
      expect(await source.read(target, 8)).toBe(2);
      expect(target).toEqual(Uint8Array.of(...pattern(10).subarray(8), 99, 99, 99, 99));
      expect(await source.read(target, 10)).toBe(0);
      expect(await source.read(target, 1000)).toBe(0);
    });

    it('may be none', async () => {
      await using source = await rig.open(new Uint8Array(0));
      expect(source.byteLength).toBe(0);
      expect(await source.read(new Uint8Array(5), 0)).toBe(0);
    });

    it('are read by several at once', async () => {
      const bytes = pattern(3000);
      await using source = await rig.open(bytes);
      const parts = await Promise.all(
        Array.from({ length: 30 }, async (_, i) => {
          const target = new Uint8Array(100);
          await source.read(target, i * 100);
          return [...target];
        }),
      );
      expect(parts.flat()).toEqual([...bytes]);
    });

    it('are read no more after they were closed, which may be done twice', async () => {
      const source = await rig.open(pattern(10));
      await source.close();
      await source.close();
      await expect(source.read(new Uint8Array(1), 0)).rejects.toMatchObject({ fault: 'closed' });
    });

    const { openMissing } = rig;
    it.skipIf(openMissing === undefined)('are missed where there are none', async () => {
      await expect(openMissing?.()).rejects.toMatchObject({ fault: 'not-found', found: expect.any(String) });
    });
  });
}
