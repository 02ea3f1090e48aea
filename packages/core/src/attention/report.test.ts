import { describe, expect, it } from 'vitest';
import { type AttentionReport, addReport, emptyReport } from './report.ts';

describe('reports', () => {
  it('add up: sums are added, the largest stay, the weaker certificate stays', () => {
    const first: AttentionReport = {
      rows: 2,
      keys: 30,
      keysRead: 20,
      keysCoded: 7,
      bytesRead: 500,
      tailMass: { sum: 0.3, max: 0.2 },
      outputError: { sum: Number.POSITIVE_INFINITY, max: Number.POSITIVE_INFINITY },
      certificate: 'probable',
      rowsExtended: 1,
      rowsDense: 0,
      readOn: { rows: 1, keysRead: 9, keysNeeded: 8 },
    };
    const second: AttentionReport = {
      rows: 1,
      keys: 10,
      keysRead: 10,
      keysCoded: 0,
      bytesRead: 50,
      tailMass: { sum: 0.5, max: 0.5 },
      outputError: { sum: 0.25, max: 0.25 },
      certificate: 'certified',
      rowsExtended: 0,
      rowsDense: 1,
      readOn: { rows: 2, keysRead: 5, keysNeeded: 3 },
    };
    const total = emptyReport();
    addReport(total, first);
    addReport(total, second);
    expect(total).toEqual({
      rows: 3,
      keys: 40,
      keysRead: 30,
      keysCoded: 7,
      bytesRead: 550,
      tailMass: { sum: 0.8, max: 0.5 },
      outputError: { sum: Number.POSITIVE_INFINITY, max: Number.POSITIVE_INFINITY },
      certificate: 'probable',
      rowsExtended: 1,
      rowsDense: 1,
      readOn: { rows: 3, keysRead: 14, keysNeeded: 11 },
    });
    expect(emptyReport()).toMatchObject({ rows: 0, certificate: 'certified' });
  });
});
