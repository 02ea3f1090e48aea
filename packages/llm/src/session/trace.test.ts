import { afterEach, describe, expect, it, vi } from 'vitest';
import { loadModel } from '../index.ts';
import { createTraceTable, PASS_PHASES, type PassTrace } from './trace.ts';

const PROMPT = 'The quick brown fox jumps over the lazy dog, and the dog sleeps on. '.repeat(6);

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('tracing', () => {
  it('tells of every pass where its time went, and changes no token', async () => {
    await using model = await loadModel('nano', { threads: 2, precision: 'fp32' });
    const attention = { policy: 'sieve', budget: 'fixed:48' };
    const options = { maxTokens: 4, temperature: 0, promptLookup: false };
    await using plain = await model.createSession({ attention, denseFallback: false });
    const expected = await plain.generate(PROMPT, options).result;

    const traces: PassTrace[] = [];
    const onTrace = (trace: PassTrace) => traces.push(trace);
    await using session = await model.createSession({ attention, denseFallback: false, onTrace });
    const result = await session.generate(PROMPT, options).result;
    expect(result.tokens).toEqual(expected.tokens);
    expect(traces.map(({ tokens }) => tokens)).toEqual([result.promptTokens, 1, 1, 1]);
    expect(traces.map(({ position }) => position).slice(1)).toEqual([0, 1, 2].map((i) => result.promptTokens + i));
    for (const { milliseconds } of traces) {
      expect(Object.keys(milliseconds)).toEqual([...PASS_PHASES]);
      for (const ms of Object.values(milliseconds)) expect(ms).toBeGreaterThanOrEqual(0);
    }
    // A prompt is read by full attention, and a step of the sieve has all phases.
    expect(traces[0]?.milliseconds.exact).toBeGreaterThan(0);
    for (const phase of ['scan', 'draw', 'score', 'exact', 'values', 'merge', 'other'] as const) {
      expect(
        traces.slice(1).reduce((sum, { milliseconds }) => sum + milliseconds[phase], 0),
        phase,
      ).toBeGreaterThan(0);
    }
  });

  it('prints a table when a session ends, where KEYSIEVE_TRACE says so', async () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    vi.stubEnv('KEYSIEVE_TRACE', '1');
    await using model = await loadModel('nano', { threads: 1, precision: 'fp32' });
    const session = await model.createSession();
    await session.generate(PROMPT, { maxTokens: 2 }).result;
    expect(write).not.toHaveBeenCalled();
    await session.dispose();
    const text = write.mock.calls.map(([chunk]) => chunk).join('');
    for (const phase of PASS_PHASES) expect(text).toContain(phase);
  });

  it('adds up passes by what they do', () => {
    const table = createTraceTable();
    expect(table.describe()).toBe('');
    const times = (ms: number) =>
      Object.fromEntries(PASS_PHASES.map((phase) => [phase, phase === 'layers' ? ms : 0])) as PassTrace['milliseconds'];
    table.add({ position: 0, tokens: 100, milliseconds: times(50) });
    table.add({ position: 100, tokens: 1, milliseconds: times(3) });
    table.add({ position: 101, tokens: 1, milliseconds: times(5) });
    expect(table.describe()).toMatch(/prompt: 100 tokens.*total +0\.500 100\.0 %.*decoding: 2 tokens.*total +4\.000/s);
  });
});
