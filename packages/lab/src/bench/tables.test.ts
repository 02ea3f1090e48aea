/** What benchmarks have measured, as tables for a terminal and for a page. */
import { describe, expect, it } from 'vitest';
import { performancePage, readReport } from './performance.ts';
import type { BenchReport, MemoryReport, ScalingReport, SpeedReport, StepsReport } from './reports.ts';
import { speedTable } from './speed-table.ts';
import { describeLargestJump, stepsTable } from './steps-table.ts';

const spread = (median: number) => ({ median, low: 0.9 * median, high: 1.1 * median });
const ABOUT = {
  versions: { keysieve: '0.1.0', node: 'v22' },
  machine: { processor: 'A chip', cores: 2, memoryBytes: 8 * 2 ** 30, system: 'Linux', load: 0.5 },
};

const speed: SpeedReport = {
  bench: 'decode',
  ...ABOUT,
  model: 'a model',
  text: 'book.txt',
  threads: 2,
  precision: 'a8',
  runs: [
    {
      context: 2048,
      attention: { policy: 'sieve', budget: 'fixed:256' },
      prefill: { policy: 'sieve', budget: 'fixed:256' },
      ours: {
        ...spread(20),
        cpu: spread(38),
        timeShares: { attention: 0.25, rest: 0.75 },
        keysExact: 250,
        keysQuantized: 500,
        fullAttentionShare: 0,
        bytesPerToken: 1e6,
        cacheBytes: 64 * 2 ** 20,
      },
      peers: [{ name: 'llama.cpp', ...spread(30), cpu: spread(60), ratio: spread(1.5), cpuRatio: spread(1.58) }],
      reading: { ours: 4000, peers: { 'llama.cpp': 8000 } },
      first: { tokens: 64, ours: spread(22), peers: { 'llama.cpp': { ms: spread(31), ratio: spread(1.4) } } },
      kl: 0.0123,
    },
  ],
};

describe('speedTable', () => {
  const form = { separator: '@', timeShares: { name: 'attention', of: () => '25 %' } };

  it('has our row, and one for each peer with its ratios', () => {
    const { names, rows } = speedTable(speed, form);
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row).toHaveLength(names.length);
    expect(rows[0]?.slice(0, 3)).toEqual(['2,048', 'sieve@fixed:256', '20.0 (18.0 to 22.0)']);
    expect(rows[0]).toContain('0.012');
    expect(rows[1]?.slice(0, 4)).toEqual(['2,048', 'llama.cpp', '30.0 (27.0 to 33.0)', '1.50 (1.35 to 1.65)']);
    expect(rows[1]?.at(-1)).toBe('8,000 (2.00 x ours)');
  });

  it('has fewer columns where a context is only read', () => {
    const [run] = speed.runs as [SpeedReport['runs'][number]];
    const prefill = { bench: 'prefill' as const, runs: [{ ...run, reading: null, first: null, kl: null }] };
    const { names, rows } = speedTable(prefill, form);
    expect(names.some((name) => name.includes('first'))).toBe(false);
    for (const row of rows) expect(row).toHaveLength(names.length);
  });
});

const steps: StepsReport = {
  bench: 'steps',
  ...ABOUT,
  model: 'a model',
  threads: 2,
  attention: { policy: 'sieve' },
  bin: 256,
  bins: [
    { from: 0, ms: spread(10), growth: null, fullAttentionShare: 1 },
    { from: 256, ms: spread(13), growth: spread(1.3), fullAttentionShare: 0.5 },
  ],
  largestJump: { growth: 1.3, at: 256 },
};

describe('stepsTable', () => {
  it('has a row for each bin', () => {
    expect(stepsTable(steps).rows).toEqual([
      ['0', '10.0 (9.0 to 11.0)', '', '100 %'],
      ['256', '13.0 (11.7 to 14.3)', '1.30 (1.17 to 1.43)', '50 %'],
    ]);
  });

  it('comes with the largest step in a sentence', () => {
    expect(describeLargestJump(steps)).toContain('1.30 times the time, at 256');
    expect(describeLargestJump({ ...steps, largestJump: null })).toContain('one bin');
  });
});

const scaling = (headDim: number): ScalingReport => ({
  bench: 'scaling',
  ...ABOUT,
  policy: 'sieve',
  budget: 'fixed:256',
  headDim,
  group: 3,
  lengths: [
    {
      n: 8192,
      ms: { policy: spread(0.1), f16: spread(0.5), f32: spread(0.6), onnx: spread(0.8) },
      operators: { GroupQueryAttention: spread(0.8) } as never,
      speedup: { f16: spread(5), f32: spread(6), onnx: spread(8) },
      keysExact: 200,
      keysQuantized: 400,
      bytesPerKey: 12.34,
      outputError: { policy: 0.0123, f16: 1e-4, f32: 1e-7 },
    },
  ],
  exponents: headDim === 64 ? { policy: 0.5, f16: 1, f32: 1, onnx: 1, exactKeys: 0.5 } : null,
});

const memory: MemoryReport = {
  bench: 'memory',
  ...ABOUT,
  model: 'a model',
  threads: 2,
  tokens: 131_072,
  encodingSets: [{ precision: 'f16', policy: 'sieve', encodings: ['sign', 'int4'], bytesPerToken: 12_345 }],
  filled: [
    {
      attention: { policy: 'sieve' },
      precision: 'int8',
      bytes: 2 ** 30,
      predictedBytes: 2 * 2 ** 30,
      residentBytes: 1.9 * 2 ** 30,
      peakBytes: 2.1 * 2 ** 30,
      stepMs: spread(40),
    },
  ],
};

describe('the page on performance', () => {
  const sectionOf = (page: string, title: string) =>
    page.split('\n## ').find((section) => section.startsWith(title)) ?? '';

  it('has a section only for what was measured', () => {
    const titles = (reports: BenchReport[]) => [...performancePage(reports).matchAll(/^## (.*)$/gm)].map(([, t]) => t);
    expect(titles([])).toEqual(['What was it measured with?']);
    expect(titles([memory])).toEqual([
      'How much memory does a token take?',
      'How much memory does a process with a full cache take?',
      'What was it measured with?',
    ]);
  });

  it('orders the dimensions of heads, and has the figures of each run under its number', () => {
    const page = performancePage([scaling(128), scaling(64), memory]);
    const growth = sectionOf(page, 'How does one step of attention grow');
    const rows = growth.split('\n').filter((line) => /^\| \d/.test(line));
    expect(rows.map((row) => row.split(' | ')[0])).toEqual(['| 64', '| 128']);
    expect(rows[0]).toContain('| 5.00 (4.50 to 5.50) | 6.00 (5.40 to 6.60) | 8.00 (7.20 to 8.80) | 12.3 | 0.012 | 2 |');
    expect(growth).toContain('d = 64: policy 0.50');
    expect(growth).toContain('d = 128: too few lengths');
  });

  it('says what every run was made with', () => {
    const page = performancePage([speed, scaling(64)]);
    expect(page).toContain('1. `keysieve bench decode`: a model, book.txt, non-attention layers in a8, 2 threads;');
    expect(page).toContain('2. `keysieve bench scaling`: one thread; keysieve 0.1.0, node v22; A chip, 2 cores, 8 GiB');
  });

  it('has tables whose rows are as wide as their heads', () => {
    const page = performancePage([speed, scaling(64), steps, memory]);
    const tables = page.split(/\n{2,}/).filter((block) => block.startsWith('|'));
    expect(tables.length).toBeGreaterThanOrEqual(5);
    for (const table of tables) {
      expect(new Set(table.split('\n').map((line) => line.split('|').length)).size, table).toBe(1);
    }
  });
});

describe('readReport', () => {
  it('reads what a benchmark has printed', () => {
    expect(readReport(JSON.stringify(steps), 'steps.json')).toEqual(steps);
  });

  it.for(['', 'no json', '[]', '{}', 'null', '{"bench":"press"}', '{"bench":"toString"}'])('refuses %o', (json) => {
    expect(() => readReport(json, 'file')).toThrow(expect.objectContaining({ code: 'invalid-file' }));
  });

  it.for([steps, speed, memory])('refuses a report of $bench that has lost something', (report) => {
    for (const name of Object.keys(report).filter((key) => Array.isArray(report[key as keyof typeof report]))) {
      const { [name as keyof typeof report]: _, ...rest } = report;
      expect(() => readReport(JSON.stringify(rest), 'file'), name).toThrow(
        expect.objectContaining({ code: 'invalid-file' }),
      );
    }
  });
});
