import { describe, expect, it } from 'vitest';
import { type AttentionReport, addReport, emptyReport } from './report.ts';

describe('reports', () => {
  it('add up: sums are added, the largest stay, the weaker certificate stays', () => {
    const first: AttentionReport = {
      rows: 2,
      keys: 30,
      keysExact: 20,
      keysQuantized: 7,
      bytesRead: 500,
      tailMass: { sum: 0.3, max: 0.2 },
      goneAtLeast: { sum: 0.25, max: 0.125 },
      outputError: { sum: Number.POSITIVE_INFINITY, max: Number.POSITIVE_INFINITY },
      certificate: 'estimated',
      rowsCertificateFallback: 1,
      rowsFull: 0,
      rowsWindowed: 0,
    };
    const second: AttentionReport = {
      rows: 1,
      keys: 10,
      keysExact: 10,
      keysQuantized: 0,
      bytesRead: 50,
      tailMass: { sum: 0.5, max: 0.5 },
      goneAtLeast: { sum: 0.5, max: 0.5 },
      outputError: { sum: 0.25, max: 0.25 },
      certificate: 'certified',
      rowsCertificateFallback: 0,
      rowsFull: 1,
      rowsWindowed: 1,
    };
    const total = emptyReport();
    addReport(total, first);
    addReport(total, second);
    expect(total).toEqual({
      rows: 3,
      keys: 40,
      keysExact: 30,
      keysQuantized: 7,
      bytesRead: 550,
      tailMass: { sum: 0.8, max: 0.5 },
      goneAtLeast: { sum: 0.75, max: 0.5 },
      outputError: { sum: Number.POSITIVE_INFINITY, max: Number.POSITIVE_INFINITY },
      certificate: 'estimated',
      rowsCertificateFallback: 1,
      rowsFull: 1,
      rowsWindowed: 1,
    });
    expect(emptyReport()).toMatchObject({ rows: 0, certificate: 'certified' });
  });
});
