/** What a system of the literature is here: its claim, tried on planted data, and what it does on real heads. */
import type { CapturedHead } from '../captures/captured-head.ts';

/** A number that came out, and the bound that the claim puts on it, if it does. */
export interface Figure {
  name: string;
  value: number;
  bound?: { relation: 'at most' | 'at least'; value: number };
}

export interface Table {
  caption: string;
  columns: string[];
  rows: string[][];
}

/** What came of trying a method on planted inputs. */
export interface PlantedOutcome {
  /** Whether every figure keeps its bound. */
  holds: boolean;
  figures: Figure[];
  tables: Table[];
}

/** What can be compared: bytes that a step reads for each key, or memory in keys' worth. */
export type Axis = 'bytes' | 'memory';

/** A variant of a method, or of what it is compared with, on the captured heads. */
export interface Point {
  name: string;
  /** Bytes read a key, or kept keys' worth of memory. */
  cost: number;
  /** ||o' - o|| / ||o||, the mean over rows. */
  error: number;
}

export interface Line {
  name: string;
  points: Point[];
}

/** One dot of the strip of heads. */
export interface HeadFigure {
  head: string;
  value: number;
}

/** What a method does on captured heads, beside what it is compared with. */
export interface Reading {
  /** Absent where the method is no attention that could be compared. */
  axis?: Axis;
  /** The method's own points. */
  points: Point[];
  /** The points of what it is compared with: the sieve, or SnapKV. */
  reference: Line | null;
  /** Other points of the same picture. */
  others: Point[];
  /** Certified and true shares of the softmax that is gone, where the method bounds them. */
  shares?: { name: string; certified: number; actual: number }[];
  /** What the dots are, and one for each query head. */
  strip: { quantity: string; heads: HeadFigure[] };
  /** Made of the figures. */
  verdict: string;
  findings: string[];
  tables: Table[];
}

/** Where a method is of use in the product: in serving, as a column or a rule of the laboratory, or nowhere. */
export interface Place {
  kind: 'serving' | 'measuring' | 'none';
  /** Where, or why nowhere. */
  what: string;
}

/** What a reader is told of a method before any figure. */
export interface MethodCard {
  /** In kebab case. */
  name: string;
  /** arXiv identifier. */
  paper: string;
  title: string;
  authors: string;
  /** The claim, in a sentence. */
  statement: string;
  /** When the planted claim holds, fixed before any figure was seen. */
  criterion: string;
  place: Place;
}

/** A method of the literature, and how it is tried. */
export interface Method extends MethodCard {
  /** The claim on planted data. Throws `invalid-argument` for a seed that is none. */
  planted(seed: number): PlantedOutcome;
  /** Checks of the claim on an input, or with a substitute, on which they must fail. */
  failing: { what: string; planted(seed: number): PlantedOutcome };
  /** What it does on captured heads; absent where no model has such heads. */
  reading?(study: Study): Reading;
}

/** The card of a method alone, for JSON and pages. */
export const cardOf = ({ name, paper, title, authors, statement, criterion, place }: Method): MethodCard => ({
  name,
  paper,
  title,
  authors,
  statement,
  criterion,
  place,
});

/** The product's own policy, as lines of {@link Study} call it. */
export const SIEVE = 'the sieve';

/** What readings are taken of: the heads of one file. */
export interface Study {
  heads: readonly CapturedHead[];
  seed: number;
  /** Error against bytes of policies of the product on these heads; empty where it was not measured. */
  policies: readonly Line[];
}

export const fact = (name: string, value: number): Figure => ({ name, value });

export const atMost = (name: string, value: number, bound: number): Figure => ({
  name,
  value,
  bound: { relation: 'at most', value: bound },
});

export const atLeast = (name: string, value: number, bound: number): Figure => ({
  name,
  value,
  bound: { relation: 'at least', value: bound },
});

export const keepsBound = ({ value, bound }: Figure): boolean => {
  if (bound === undefined) return Number.isFinite(value);
  return bound.relation === 'at most' ? value <= bound.value : value >= bound.value;
};

export const outcomeOf = (figures: Figure[], tables: Table[] = []): PlantedOutcome => ({
  holds: figures.every(keepsBound),
  figures,
  tables,
});

/** The error of a line of points at a cost, straight between points in logarithms; held where the line ends. */
export function errorAt(line: readonly Point[], cost: number): number {
  const sorted = [...line].sort((a, b) => a.cost - b.cost);
  const [first, last] = [sorted[0] as Point, sorted.at(-1) as Point];
  if (cost <= first.cost) return first.error;
  if (cost >= last.cost) return last.error;
  const right = sorted.findIndex((point) => point.cost >= cost);
  const [a, b] = [sorted[right - 1] as Point, sorted[right] as Point];
  const share = Math.log(cost / a.cost) / Math.log(b.cost / a.cost);
  return Math.exp((1 - share) * Math.log(a.error) + share * Math.log(b.error));
}

/** How a point compares with a line, as a sentence. */
export function compared(point: Point, axis: Axis, reference: Line): string {
  const referenceError = errorAt(reference.points, point.cost);
  const ratio = point.error / referenceError;
  const cost = axis === 'bytes' ? `${point.cost.toFixed(1)} bytes a key` : `${Math.round(point.cost)} keys' worth`;
  const more = ratio >= 1 ? `${ratio.toFixed(2)} times` : `${Math.round(100 * ratio)} % of`;
  return `${point.name}, at ${cost}: error ${short(point.error)}, ${more} that of ${reference.name} (${short(referenceError)})`;
}

/** Three digits; whole numbers as they are. */
export const short = (value: number): string => {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
};
