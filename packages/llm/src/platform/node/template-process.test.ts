import { describe, expect, it } from 'vitest';
import { metadataOf } from '../../../test/byte-vocabulary.ts';
import { createChatTemplate } from '../../tokenizer/chat-template.ts';
import { runTemplate } from './template-process.ts';

const LIMITS = { milliseconds: 1000, characters: 1e6 };
const variables = { messages: [{ role: 'user', content: 'aaaa' }] };
const run = (source: string) => runTemplate({ source, variables }, LIMITS);

describe('a template that would not end', () => {
  it.each([
    ['loops', '{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}'],
    ['a list of a billion numbers', '{% for i in range(1000000000) %}x{% endfor %}'],
    [
      'lists that double',
      '{% set n = namespace(l=[1, 2]) %}{% for i in range(40) %}{% set n.l = n.l + n.l %}{% endfor %}',
    ],
    ['long lists of long texts', '{{ (range(20000000) | list) | join(",") }}'],
    [
      'a text that doubles',
      '{% set n = namespace(s="xxxxxxxxxx") %}{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}',
    ],
    ['a macro that calls itself', '{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}'],
    ['thousands of parentheses', `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`],
    ['thousands of conditions', `${'{% if true %}'.repeat(20_000)}x${'{% endif %}'.repeat(20_000)}`],
    ['a text past the limit', '{{ "x" * 2000000 }}{% for i in range(2000000) %}x{% endfor %}'],
  ])('is ended, and the next one rendered: %s', (_, source) => {
    expect(run(source)).toEqual({
      failed: expect.stringMatching(/^(limit|render|parse)$/),
      found: expect.stringMatching(/./),
    });
    expect(run('{{ messages[0].content | upper }}')).toEqual({ text: 'AAAA' });
  });

  it('takes all memory in less than its time without harm, for which a thread is not enough', () => {
    const source = '{% for i in range(1000000000) %}x{% endfor %}';
    expect(runTemplate({ source, variables }, { ...LIMITS, milliseconds: 60_000 })).toEqual({
      failed: 'limit',
      found: expect.stringContaining('512 MB'),
    });
  });

  it('is an error of the template, not of the messages', () => {
    const template = '{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}';
    const { render } = createChatTemplate(metadataOf({}), { template });
    expect(() => render([{ role: 'user', content: 'Hi' }])).toThrow(
      expect.objectContaining({ code: 'chat-template-invalid', found: expect.stringContaining('5 s') }),
    );
  });
});

describe('a template in its thread', () => {
  it('changes nothing outside', () => {
    run('{% set x = {"__proto__": {"polluted": 1}} %}{{ x.polluted }}');
    run('{% set n = namespace() %}{% set n.__proto__ = {"polluted": 1} %}');
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(run('{{ messages.constructor }}{{ messages[0]["__proto__"] }}')).not.toEqual({
      text: expect.stringContaining('Object'),
    });
  });

  it('says which variables cannot be rendered', () => {
    const result = runTemplate({ source: 'x', variables: { f: () => {} } }, LIMITS);
    expect(result).toMatchObject({ failed: 'render', found: expect.stringContaining('cloned') });
  });
});
