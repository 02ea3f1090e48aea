/** Heads whose scan has a basis: the codes of both classes, and the scores by them. */
import { describe, expect, it } from 'vitest';
import { createRig, headOf, type KernelsUnderTest } from '../../../test/kernel-rig.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../../test/key-shapes.ts';
import { createRandom, type Random } from '../../../test/random.ts';
import { CLASS_FACTOR_SCALE } from '../constants.ts';
import { type Pages, scratchBytes } from '../kernels.ts';
import { PAGE_KEYS, rotatedDim } from '../layout.ts';
import { quantizedQueryBytes, quantizeScratchBytes } from '../quantized-kernels.ts';
import { centreOf, classCodes, quantizedKey } from '../quantized-rows.ts';
import { inverseRotate, rotate } from '../rotation.ts';
import { classRows, type ScanBasis, scanBasisBytes, writeScanBasis } from '../scan-basis.ts';

const DIMENSIONS = [32, 64, 128, 256];

function randomBasis(random: Random, headDim: number): ScanBasis {
  const order = Array.from({ length: headDim }, (_, i) => i);
  for (let i = headDim - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const dimensions = order.slice(0, (3 * headDim) / 4);
  return { dimensions, weights: dimensions.map(() => 0.25 + 2 * random.uniform()) };
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, i) => sum + x * (b[i] as number), 0);
const maxAbs = (x: Float64Array): number => x.reduce((max, y) => Math.max(max, Math.abs(y)), 0);

/** A head of full pages, with a basis. */
function quantizeHead(kernels: KernelsUnderTest, headDim: number, keys: Float32Array, values: Float32Array) {
  const random = createRandom(headDim + 1);
  const head = headOf(headDim, 'f32', keys, values);
  const rig = createRig(kernels);
  const basis = rig.allocate(scanBasisBytes(headDim));
  writeScanBasis(rig.views(), basis, headDim, randomBasis(random, headDim));
  const pages: Pages = { ...rig.layOut(head, ['int4']), basis };
  const scratch = rig.allocate(quantizeScratchBytes(headDim));
  for (let page = 0; page < Math.floor(head.n / PAGE_KEYS); page++)
    expect(rig.kernels.quantizePage(pages, page, scratch)).toBe(true);
  return { rig, pages, head };
}

export function describeClasses(kernels: KernelsUnderTest): void {
  describe('a scan with a basis', () => {
    it.for(KEY_SHAPE_NAMES)('writes codes of keys that are %s whose products with the key are the norm', (shape) => {
      const headDim = 64;
      const { keys, values } = keysOfShape(shape, createRandom(headDim), 128, headDim);
      const { rig, pages } = quantizeHead(kernels, headDim, keys, values);
      for (let position = 0; position < 128; position++) {
        const key = quantizedKey(rig.views(), pages, position);
        const centre = inverseRotate(centreOf(rig.views(), key), headDim);
        const y = centre.map((x, i) => (keys[position * headDim + i] as number) - x);
        const rows = classRows(rig.views(), pages.basis, y, 'key');
        const length =
          Math.sqrt(
            dot(
              keys.subarray(position * headDim, (position + 1) * headDim),
              keys.subarray(position * headDim, (position + 1) * headDim),
            ),
          ) + Math.sqrt(dot(centre, centre));
        for (const [part, codes] of classCodes(rig.views(), key).entries()) {
          const z = rows[part as 0 | 1];
          // Half a part of the page's largest factor, and the rounding of float32.
          const largest = Math.max(
            ...Array.from({ length: PAGE_KEYS }, (_, i) => {
              const other = { ...key, key: i };
              return Math.max(...(classCodes(rig.views(), other)[part as 0 | 1] as Float64Array));
            }),
          );
          const slack = (largest / CLASS_FACTOR_SCALE) * 1.5 * z.reduce((sum, x) => sum + Math.abs(x), 0);
          const rounding = 1e-5 * length * (Math.sqrt(dot(z, z)) + length) * 4 + 1e-30;
          expect(Math.abs(dot(z, codes) - dot(z, z)), `${shape} ${position}`).toBeLessThanOrEqual(slack + rounding);
          // Signs are those of z, but for numbers that rounding may turn.
          for (let i = 0; i < z.length; i++) {
            if (Math.abs(z[i] as number) > 1e-4 * length && (codes[i] as number) !== 0) {
              expect(Math.sign(codes[i] as number)).toBe(Math.sign(z[i] as number));
            }
          }
        }
      }
    });

    it.for(DIMENSIONS)('scores by them, for d = %i', (headDim) => {
      for (const rows of [1, 3, 4]) {
        const random = createRandom(headDim + rows);
        const { rig, pages } = quantizeHead(
          kernels,
          headDim,
          random.normals(320 * headDim),
          random.normals(320 * headDim),
        );
        const queries = random.normals(rows * headDim);
        const address = rig.allocate(quantizedQueryBytes(rows, headDim));
        rig.kernels.quantizeQueries(
          pages,
          rig.place(queries),
          rows,
          address,
          rig.allocate(scratchBytes(1, rotatedDim(headDim))),
        );
        const [from, to, stride, fractionBits] = [64, 256, 200, 6];
        const scans = rig.allocate((rows * stride + 8) * 2);
        const prepared = { address, rows, centerScores: rig.allocate(rows * 8 * 4), centerStride: 8 };
        rig.kernels.scanSigns(pages, from, to, prepared, fractionBits, scans, stride);
        const unit = Math.LN2 * 2 ** -fractionBits;
        const views = rig.views();
        for (let row = 0; row < rows; row++) {
          const query = queries.subarray(row * headDim, (row + 1) * headDim);
          const classes = classRows(views, pages.basis, query, 'query');
          // A table's entry is off by half of 1/31 of the largest.
          const tableSteps = [maxPairs(classes[0], 2) * 1.5104, maxPairs(classes[1], 4)].map(
            (largest) => largest / 31 / 2,
          );
          for (let position = from; position < to; position++) {
            const key = quantizedKey(views, pages, position);
            const codes = classCodes(views, key);
            const base = dot(rotate(query), centreOf(views, key));
            const truth = base + dot(classes[0], codes[0]) + dot(classes[1], codes[1]);
            const factors = [maxAbs(codes[0]) / 0.4528, maxAbs(codes[1])];
            const slack =
              (headDim / 8) *
              ((tableSteps[0] as number) * (factors[0] as number) + (tableSteps[1] as number) * (factors[1] as number));
            const actual = (views.i16[scans / 2 + row * stride + position - from] as number) * unit;
            expect(Math.abs(actual - truth)).toBeLessThanOrEqual(slack + 12 * unit);
          }
        }
        const behind = (scans + (to - from) * 2) / 2;
        if (rows === 1) expect([...views.i16.slice(behind, behind + 4)]).toEqual([-1, -1, -1, -1]);
      }
    });
  });
}

/** The largest sum of magnitudes of `count` consecutive numbers. */
function maxPairs(x: Float64Array, count: number): number {
  let largest = 0;
  for (let i = 0; i < x.length; i += count) {
    largest = Math.max(
      largest,
      x.subarray(i, i + count).reduce((sum, y) => sum + Math.abs(y), 0),
    );
  }
  return largest;
}
