/** A certified step in parts as threads do it, one part after the other, and which keys its rows have read. */
import { type GroupResult, toCertifiedGroup } from '../src/attention/decode.ts';
import { attendCertifiedPart, certifiedPartBytes, mergeCertifiedParts } from '../src/certificates/certified-parts.ts';
import type { GroupWork } from '../src/group/group-work.ts';
import { type Part, workOfPart } from '../src/group/parts.ts';
import { createKernels } from '../src/kernels/index.ts';
import { PAGE_KEYS } from '../src/kernels/layout.ts';
import { PARAMETER_BYTES } from '../src/kernels/structs.ts';
import { viewsOf } from '../src/kernels/views.ts';
import type { CertifiedTarget } from '../src/policies/policy.ts';
import { certifiedPositions } from './certified-positions.ts';

/** The buffers of the job: room for parts of 128 KiB together. */
const memory = new WebAssembly.Memory({ initial: 3, maximum: 3 });
const kernels = createKernels('wasm', memory, 0);
const views = viewsOf(memory);
const PARTS_AT = Math.ceil(PARAMETER_BYTES / 64) * 64;

/** Position among all keys of key `i` of a part. */
const positionOf = (i: number, { part, parts }: Part): number =>
  (Math.floor(i / PAGE_KEYS) * parts + part) * PAGE_KEYS + (i % PAGE_KEYS);

export function attendInParts(
  work: GroupWork,
  { tailMass, outcome }: CertifiedTarget,
  maxReadShare: number,
  parts: number,
): GroupResult & { read: Int32Array[] } {
  const bytes = certifiedPartBytes(work.rows, work.shape.headDim);
  const read = Array.from({ length: work.rows }, (): number[] => []);
  for (let number = 0; number < parts; number++) {
    const part = { part: number, parts };
    attendCertifiedPart(work, tailMass, maxReadShare, part, views, PARTS_AT + number * bytes);
    const merged = mergeCertifiedParts(work, 1, kernels, views, PARTS_AT + number * bytes);
    const partWork = workOfPart(work, part);
    for (const [row, positions] of read.entries()) {
      const all = merged.rows[row]?.count === partWork.n;
      const listed = all ? Int32Array.from({ length: partWork.n }, (_, i) => i) : certifiedPositions(partWork, row);
      for (const i of listed) positions.push(positionOf(i, part));
    }
  }
  const group = toCertifiedGroup(work, mergeCertifiedParts(work, parts, kernels, views, PARTS_AT), outcome);
  return { ...group, read: read.map((positions) => Int32Array.from(positions).sort()) };
}
