/**
 * The keys of a group in parts, for several threads. Part p of P has the pages p, p + P, p + 2 P, ...: neighbouring pages
 * have similar keys, so every part has about the same softmax mass.
 */
import type { Pages } from '../kernels/kernels.ts';
import { PAGE_KEYS, pagesFor } from '../kernels/layout.ts';
import type { GroupWork, HeadSegment } from './group-work.ts';
import { SAMPLE_PAGES } from './workspace.ts';

/** Number `part` of `parts`. */
export interface Part {
  part: number;
  parts: number;
}

/** Keys of a part before a position. */
export function keysBefore(position: number, { part, parts }: Part): number {
  const page = Math.floor(position / PAGE_KEYS);
  const wholePages = Math.max(0, Math.ceil((page - part) / parts));
  return wholePages * PAGE_KEYS + (page % parts === part ? position % PAGE_KEYS : 0);
}

/** The pages of a part as a cache of their own: their table is written into the workspace. */
export function listPartPages(work: GroupWork, segment: HeadSegment, { part, parts }: Part): Pages {
  const pages: number[] = [];
  for (let page = part; page < pagesFor(work.n); page += parts) pages.push(page);
  return listPages(segment, pages, segment.region.workspace.partPageTable);
}

/** Some pages as a cache of their own, with their table at an address. */
function listPages({ region, pages }: HeadSegment, listed: readonly number[], table: number): Pages {
  const { u32 } = region.views();
  for (let i = 0; i < listed.length; i++) {
    u32[table / 4 + i] = u32[pages.table / 4 + (listed[i] as number)] as number;
  }
  return { ...pages, table, exactTable: table };
}

/**
 * A group that sees the keys of a part alone, numbered from 0, all of them in one segment as those of the group have to be.
 * Sinks of the heads belong to the first part.
 */
export function workOfPart(work: GroupWork, part: Part): GroupWork {
  const [segment] = work.segments;
  if (segment === undefined || work.segments.length > 1) throw new Error('Keys in several segments have no parts.');
  const n = keysBefore(work.n, part);
  return {
    ...work,
    n,
    segments: [{ region: segment.region, pages: listPartPages(work, segment, part), from: 0, to: n, earlierKeys: 0 }],
    sinks: part.part === 0 ? work.sinks : undefined,
  };
}

/**
 * A group that sees a few pages alone, the first and the last, where most of a softmax often is, and some between them.
 * Undefined where the keys lie in several segments.
 */
export function sampleOfPages(work: GroupWork): GroupWork | undefined {
  const [segment] = work.segments;
  if (segment === undefined || work.segments.length > 1) return undefined;
  const last = pagesFor(work.n) - 1;
  const between = SAMPLE_PAGES - 2;
  const listed = [0];
  for (let i = 0; i < between; i++) listed.push(Math.round(((i + 0.5) / between) * last));
  listed.push(last);
  const pages = listPages(segment, listed, segment.region.workspace.samplePageTable);
  const n = (listed.length - 1) * PAGE_KEYS + work.n - last * PAGE_KEYS;
  return { ...work, n, segments: [{ region: segment.region, pages, from: 0, to: n, earlierKeys: 0 }] };
}
