import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MOST_OTHERS, makePrompt, type RecallAnswer } from './recall.ts';
import { openRecallFile } from './recall-file.ts';

const FILLER = 'It was a dark night, and the wind blew over the hills as it had done for years. '.repeat(20);
const bytes = (text: string) => new TextEncoder().encode(text);

describe('the prompts of recall', () => {
  it('state the fact once at its depth, and ask for it at the end, in as many tokens as were asked for', () => {
    const tasks = fc.record({
      length: fc.integer({ min: 700, max: 6000 }),
      depth: fc.double({ min: 0, max: 1, noNaN: true }),
      others: fc.integer({ min: 0, max: MOST_OTHERS }),
      seed: fc.nat(1e6),
    });
    // A tokenizer that takes words together with the blank before them.
    const words = (text: string) => text.match(/\s?\S+|\s/g)?.map((word) => word.length) ?? [];
    fc.assert(
      fc.property(tasks, fc.boolean(), (task, byWords) => {
        const { text, tokens, code } = makePrompt(task, FILLER, byWords ? words : bytes);
        expect(tokens.length).toBeLessThanOrEqual(task.length);
        expect(tokens.length).toBeGreaterThan(task.length * 0.95);
        const name = /\nThe number of (\w+ \w+) is $/.exec(text)?.[1] ?? expect.fail('no question');
        const fact = `The number of ${name} is ${code}. `;
        expect(text.split(fact)).toHaveLength(2);
        expect(code).toMatch(/^\d{5}$/);
        expect(text.match(/The number of \w+ \w+ is \d{5}\. /g)).toHaveLength(1 + task.others);
        // Other facts before it, and the end of a word, move it a little.
        const place = text.indexOf(fact) / text.length;
        expect(Math.abs(place - task.depth)).toBeLessThan(0.02 + (60 * (task.others + 2)) / text.length);
      }),
      { numRuns: 150, seed: 6 },
    );
  });

  it('are the same for the same seed, and others for another', () => {
    const task = { length: 2000, depth: 0.5, others: 2, seed: 4 };
    expect(makePrompt(task, FILLER, bytes)).toEqual(makePrompt(task, FILLER, bytes));
    expect(makePrompt({ ...task, seed: 5 }, FILLER, bytes).code).not.toBe(makePrompt(task, FILLER, bytes).code);
  });
});

const RUN = { model: 'm', filler: 'f', prefill: 'dense' };
const ANSWER: RecallAnswer = {
  ...{
    length: 100,
    depth: 0.5,
    others: 0,
    seed: 1,
    policy: 'sieve',
    budget: 'fixed:9',
    right: true,
    answer: '1',
    code: '1',
  },
  ...{ keysRead: { mean: 9, share: 0.1 }, tailMass: 0.1, outputError: null, msPerToken: 3 },
};

describe('the file of answers', () => {
  const path = async () => join(await mkdtemp(join(tmpdir(), 'recall-')), 'answers.jsonl');

  it('gives back what was added, to the same run only', async () => {
    const file = await path();
    await (await openRecallFile(file, RUN)).add([ANSWER]);
    const again = await openRecallFile(file, RUN);
    expect(again.find(ANSWER, 'sieve', 'fixed:9')).toEqual(ANSWER);
    expect(again.find(ANSWER, 'sieve', 'fixed:8')).toBeUndefined();
    expect(again.find({ ...ANSWER, seed: 2 }, 'sieve', 'fixed:9')).toBeUndefined();
    expect((await openRecallFile(file, { ...RUN, model: 'n' })).find(ANSWER, 'sieve', 'fixed:9')).toBeUndefined();
  });

  it('is not needed', async () => {
    const file = await openRecallFile(undefined, RUN);
    await file.add([ANSWER]);
    expect(file.find(ANSWER, 'sieve', 'fixed:9')).toEqual(ANSWER);
  });

  it.for(['no json', '{}', '{"length":1}', `${JSON.stringify({ ...ANSWER, run: RUN })}\nhalf a li`])(
    'with %o is an error, and stays as it is',
    async (content) => {
      const file = await path();
      await writeFile(file, content);
      await expect(openRecallFile(file, RUN)).rejects.toMatchObject({ code: 'invalid-file' });
      expect(await readFile(file, 'utf8')).toBe(content);
    },
  );
});
