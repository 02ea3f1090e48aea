/** Scans of keys in the memory of kernels. */
import type { KernelRig } from './kernel-rig.ts';

/** Writes a scan to memory, and returns its address. */
export function placeScan(rig: KernelRig, numbers: Int16Array): number {
  const address = rig.allocate(numbers.length * 2 + 16);
  rig.views().i16.set(numbers, address / 2);
  return address;
}

/** Numbers in nats as those of a scan. */
export const toScanUnits = (nats: Float32Array, fractionBits: number): Int16Array =>
  Int16Array.from(nats, (x) => Math.max(-32_768, Math.min(32_767, Math.round((x / Math.LN2) * 2 ** fractionBits))));
