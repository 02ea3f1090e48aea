/** The engine in a page: what a model says there is what it says in Node. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from 'vitest/browser';
import { loadModel, type Model } from './load-model.ts';

declare module 'vitest/browser' {
  interface BrowserCommands {
    /** What nano says in Node, in the precision fp32. */
    generateInNode(prompt: string, options: { attention: object; maxTokens: number }): Promise<string>;
  }
}

let model: Model;
beforeAll(async () => {
  const file = await (await fetch('/models/nano/nano.gguf')).blob();
  model = await loadModel(new File([file], 'nano.gguf'), { precision: 'fp32', threads: 1 });
});
afterAll(() => model?.dispose());

const haystack = (sentences: number) => {
  const line = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ';
  return `The number of amber fox is 48213. ${line.repeat(sentences)}The number of amber fox is `;
};

describe('nano in a page', () => {
  it.each([
    ['dense', { policy: 'dense' }, 30],
    ['sieve', { policy: 'sieve' }, 30],
  ])('says by %s what it says in Node', async (_, attention, sentences) => {
    const prompt = haystack(sentences);
    const session = await model.createSession({ attention, denseFallback: false });
    const { text } = await session.generate(prompt, { maxTokens: 24 }).result;
    await session.dispose();
    expect(text).toContain('48213');
    expect(text).toBe(await commands.generateInNode(prompt, { attention, maxTokens: 24 }));
  });
});
