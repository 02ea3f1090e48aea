/** Benchmarks on the embedded model, with a peer whose times are known. */
import { loadModel } from '@keysieve/llm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerBaselines } from '../baselines/index.ts';
import { machineOf, versionsOf } from './machine.ts';
import { benchMemory } from './memory.ts';
import type { Peer } from './peer.ts';
import { loadPeer } from './peers.ts';
import { performancePage, readReport } from './performance.ts';
import { benchScaling } from './scaling.ts';
import { type BenchSpeedOptions, benchDecode, benchPrefill, FIRST_TOKENS } from './speed.ts';
import { benchSteps, findLargestJump } from './steps.ts';

await registerBaselines();

const { signal } = new AbortController();
const onProgress = () => {};
let model: Awaited<ReturnType<typeof loadModel>>;

beforeAll(async () => {
  model = await loadModel('nano', { threads: 1, precision: 'fp32' });
});
afterAll(() => model.dispose());

/** Says that it took a second a token, and keeps what it was options. */
function createPeer(): Peer & { read: number[][]; decoded: number[] } {
  const read: number[][] = [];
  const decoded: number[] = [];
  return {
    read,
    decoded,
    versions: { clock: '1' },
    tokenize: () => [],
    async prefill(tokens) {
      read.push([...tokens]);
      return 1000 * tokens.length;
    },
    async decode(tokens) {
      decoded.push(...tokens);
      return tokens.map(() => 1000);
    },
    rewind: async () => {},
    predictions: async () => [],
    dispose: async () => {},
  };
}

function optionsWith(peer: Peer, options: Partial<BenchSpeedOptions> = {}): BenchSpeedOptions {
  const tokens = Int32Array.from({ length: 400 }, (_, i) => 40 + ((i * 37) % 80));
  return {
    model,
    tokens,
    context: 300,
    steps: 9,
    rounds: 2,
    divergence: true,
    signal,
    onProgress,
    peers: new Map([['clock', peer]]),
    attention: { policy: 'dense' },
    prefill: { policy: 'dense' },
    ...options,
  };
}

describe('bench decode', () => {
  it('gives both sides the same tokens, and ratios of their times', async () => {
    const peer = createPeer();
    const options = optionsWith(peer);
    const { ours, peers, first, kl } = await benchDecode(options);
    expect(peer.read).toEqual([[...options.tokens.subarray(0, 300)]]);
    const decoded = [...options.tokens.subarray(300, 300 + FIRST_TOKENS + 9)];
    expect(peer.decoded).toEqual(decoded);
    expect(peers[0]).toMatchObject({ name: 'clock', median: 1000 });
    // The quartiles of 9 numbers are the third from below and the third from above.
    expect(peers[0]?.ratio.low).toBeCloseTo(1000 / ours.high, 6);
    expect(first).toMatchObject({ tokens: FIRST_TOKENS, peers: { clock: { ms: { median: 1000 } } } });
    expect(first?.peers.clock?.ratio.median).toBeGreaterThan(0);
    // Dense attention is as near to itself as two orders of the same sums.
    expect(kl).toBeLessThan(1e-6);
    expect(ours.timeShares.attention + ours.timeShares.rest).toBeCloseTo(1, 10);
    expect(ours.keysExact).toBeGreaterThan(300);
  });

  it('leaves the divergence out where it is not asked for', async () => {
    expect((await benchDecode(optionsWith(createPeer(), { divergence: false }))).kl).toBeNull();
  });

  it('finds that a window of few keys is not dense attention', async () => {
    const window = { policy: 'window', budget: 'fixed:16' };
    const { kl, ours } = await benchDecode(optionsWith(createPeer(), { attention: window }));
    expect(kl).toBeGreaterThan(1e-4);
    expect(ours.keysExact).toBeLessThan(20);
  });
});

describe('bench prefill', () => {
  it('reads the context as often as it is told to, on both sides', async () => {
    const peer = createPeer();
    const { peers, kl } = await benchPrefill(optionsWith(peer));
    expect(peer.read.map((tokens) => tokens.length)).toEqual([256, 300, 300]);
    expect(peers[0]?.median).toBe(300_000);
    expect(kl).toBeLessThan(1e-6);
  });
});

describe('bench steps', () => {
  it('times each bin in turns with the one before', async () => {
    const tokens = Int32Array.from({ length: 800 }, (_, i) => 40 + (i % 80));
    const done: number[] = [];
    const { bins, largestJump } = await benchSteps({
      model,
      attention: { policy: 'dense' },
      tokens,
      turns: 2,
      signal,
      onProgress: (_, tokensRead) => done.push(tokensRead),
    });
    expect(done).toEqual([256, 512, 768]);
    expect(bins.map(({ from, fullAttentionShare }) => [from, fullAttentionShare])).toEqual([
      [0, 1],
      [256, 1],
      [512, 1],
    ]);
    expect(bins[0]?.growth).toBeNull();
    const growths = bins.slice(1).map(({ growth }) => growth?.median as number);
    expect(largestJump?.growth).toBe(Math.max(...growths));
    for (const { ms } of bins) expect(ms.low).toBeGreaterThan(0);
  });

  it('finds the largest of the steps', () => {
    const bins = [null, 1.1, 1.5, 0.7].map((growth, i) => ({
      from: i * 256,
      growth: growth === null ? null : { median: growth, low: growth, high: growth },
    }));
    expect(findLargestJump(bins)).toEqual({ growth: 1.5, at: 512 });
    expect(findLargestJump(bins.slice(0, 1))).toBeNull();
  });
});

describe('a peer', () => {
  it('that there is none of is refused', () => {
    expect(() => loadPeer('other', { model: 'x', threads: 1, contextSize: 8 })).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    );
  });
});

describe('the page on performance', () => {
  it('has a section for each report, with what it was made with', async () => {
    const about = { versions: versionsOf({ clock: '1' }), machine: machineOf() };
    const tokens = Int32Array.from({ length: 512 }, (_, i) => 40 + (i % 80));
    const policy = { policy: 'sieve', budget: 'fixed:64' };
    const named = { model: 'nano', text: 'text', threads: 1, precision: 'fp32' };
    const decode = { bench: 'decode', ...about, ...named, runs: [await benchDecode(optionsWith(createPeer()))] };
    const scaling = await benchScaling({
      policy,
      headDim: 64,
      group: 3,
      lengths: [512, 1024],
      signal,
      onProgress,
    });
    const steps = await benchSteps({ model, attention: policy, tokens, turns: 2, signal, onProgress });
    const memory = await benchMemory({
      model: 'nano',
      load: { precision: 'fp32', threads: 1 },
      tokens: 600,
      attention: policy,
      precisions: ['int8'],
    });
    const reports = [
      { bench: 'memory', ...about, ...memory },
      decode,
      { bench: 'scaling', ...about, ...scaling },
      { bench: 'steps', ...about, ...named, ...steps },
    ];
    const page = performancePage(reports.map((report) => readReport(JSON.stringify(report), 'file')));
    const titles = [...page.matchAll(/^## (.*)$/gm)].map(([, title]) => title);
    expect(titles).toEqual([
      'How long does a token of an answer take?',
      'How long do the first 64 tokens of an answer take?',
      'How does one step of attention grow with the context?',
      'From which length on is attention sparse, and is there a jump?',
      'How much memory does a token take?',
      'How much memory does a process with a full cache take?',
      'What was it measured with?',
    ]);
    expect(page).toContain('clock 1');
    expect(page).toContain('| 300 | clock | 1000.0 (1000.0 to 1000.0) |');
  });

  it('has one table for a question, whatever the number of reports, in the order of contexts', () => {
    const spread = { median: 1000, low: 1000, high: 1000 };
    const ours = { ...spread, cpu: spread, timeShares: { attention: 0.25, rest: 0.75 }, fullAttentionShare: 0 };
    const runOf = (context: number) => ({
      context,
      attention: { policy: 'sieve' },
      prefill: { policy: 'sieve', budget: 'fixed:64' },
      ours: { ...ours, keysExact: 64, keysQuantized: 0, bytesPerToken: 1, cacheBytes: 2 ** 20 },
      peers: [],
      reading: null,
      first: null,
      kl: null,
    });
    const about = {
      versions: versionsOf(),
      machine: machineOf(),
      model: 'nano',
      text: 'text',
      threads: 1,
      precision: 'fp32',
    };
    const reports = [2048, 512].map((context) => ({ bench: 'prefill' as const, ...about, runs: [runOf(context)] }));
    const page = performancePage(reports);
    expect(page.match(/How long does a prompt take/g)).toHaveLength(1);
    expect(page.match(/^\| [\d,]+ \| keysieve, sieve fixed:64 \| .*$/gm)?.map((row) => row.slice(0, 9))).toEqual([
      '| 512 | k',
      '| 2,048 |',
    ]);
  });

  it('is not made from other files', () => {
    for (const text of ['{', 'null', '{"bench":"toString"}', '{"bench":"other"}']) {
      expect(() => readReport(text, 'file')).toThrow(expect.objectContaining({ code: 'invalid-file' }));
    }
  });
});
