import { describe, expect, it } from 'vitest';
import { metadataOf } from '../../test/byte-vocabulary.ts';
import { sharedFile } from '../../test/shared.ts';
import { openGguf } from '../gguf/open.ts';
import { createChatTemplate } from './chat-template.ts';
import { readCompanionFiles } from './companion-files.ts';

const chatMl =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const none = metadataOf({});
const withTemplate = metadataOf({ 'tokenizer.chat_template': chatMl });
const hello = [{ role: 'user', content: 'Hello' }];

describe('createChatTemplate', () => {
  it('renders the template of the file, with the beginning of an answer unless told otherwise', () => {
    const template = createChatTemplate(withTemplate);
    expect(template.render(hello)).toBe('<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n');
    expect(template.render(hello, { addGenerationPrompt: false })).toBe('<|im_start|>user\nHello<|im_end|>\n');
  });

  it('renders another template in its place', () => {
    const template = createChatTemplate(withTemplate, { template: '{{ messages[0].content | trim }}!' });
    expect(template.render([{ role: 'user', content: '  Hi ' }])).toBe('Hi!');
  });

  it('gives the template the texts of the tokens that begin and end texts', () => {
    const gguf = metadataOf({
      'tokenizer.chat_template': '{{ bos_token }}|{{ eos_token }}',
      'tokenizer.ggml.tokens': ['a', '<s>'],
      'tokenizer.ggml.bos_token_id': 1,
    });
    expect(createChatTemplate(gguf).render(hello)).toBe('<s>|');
  });

  it('gives the template tools, calls and their answers by the names of the OpenAI API, arguments as objects', () => {
    const source = '{% if tools %}{{ tools | tojson }}{% endif %}#{{ messages | tojson }}';
    const template = createChatTemplate(none, { template: source });
    expect(template.source).toBe(source);
    const tool = { name: 'add', parameters: { type: 'object' } };
    const call = { id: 'c1', name: 'add', arguments: { a: 1 } };
    const chat = [
      { role: 'assistant', content: '', toolCalls: [call] },
      { role: 'tool', content: '3', toolCallId: 'c1', name: 'add' },
    ];
    const [tools, messages] = template.render(chat, { tools: [tool] }).split('#');
    expect(JSON.parse(tools as string)).toEqual([{ type: 'function', function: tool }]);
    expect(JSON.parse(messages as string)).toEqual([
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'add', arguments: { a: 1 } } }],
      },
      { role: 'tool', content: '3', tool_call_id: 'c1', name: 'add' },
    ]);
    expect(template.render(hello)).toBe('#[{"role": "user", "content": "Hello"}]');
  });

  it('gives the template other variables, which are not taken for what the chat sets', () => {
    const source = '{{ enable_thinking }} {{ documents[0].text }} {{ messages | length }} {{ add_generation_prompt }}';
    const template = createChatTemplate(none, { template: source });
    const variables = { enable_thinking: false, documents: [{ text: 'x' }], messages: [], add_generation_prompt: 7 };
    expect(template.render(hello, { variables })).toBe('false x 1 true');
  });

  it('refuses a model without a template', () => {
    const missing = expect.objectContaining({ code: 'chat-template-missing' });
    expect(() => createChatTemplate(none)).toThrow(missing);
    expect(() => createChatTemplate(metadataOf({ 'tokenizer.chat_template': ' ' }))).toThrow(missing);
  });

  it.each(['{% for %}', '{{ messages', '{% endif %}', '{% if %}{% endif %}'])(
    'refuses what is not Jinja: %s',
    (template) => {
      const invalid = expect.objectContaining({ code: 'chat-template-invalid', found: expect.any(String) });
      expect(() => createChatTemplate(none, { template })).toThrow(invalid);
    },
  );

  it('refuses messages that the template refuses, and none', () => {
    const template = createChatTemplate(none, {
      template:
        "{% if messages[0].role != 'user' %}{{ raise_exception('Begin with user.') }}{% endif %}{{ messages | nosuchfilter }}",
    });
    const invalid = (found: string) =>
      expect.objectContaining({ code: 'chat-messages-invalid', found: expect.stringContaining(found) });
    expect(() => template.render([{ role: 'assistant', content: 'Hi' }])).toThrow(invalid('Begin with user.'));
    expect(() => template.render(hello)).toThrow(expect.objectContaining({ code: 'chat-messages-invalid' }));
    expect(() => template.render([])).toThrow(invalid('an empty list'));
    expect(() => template.render([{ role: 'user' } as never])).toThrow(invalid('"user"'));
  });

  const path = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
  it.skipIf(path === undefined)("renders SmolLM2's template", async () => {
    await using file = await openGguf(path as string);
    const answer = '<|im_start|>assistant\n';
    const system =
      '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n';
    for (const template of [undefined, (await readCompanionFiles(path as string)).chatTemplate()]) {
      const { render } = createChatTemplate(file, { template });
      expect(render([{ role: 'user', content: 'Name three rivers.' }])).toBe(
        `${system}<|im_start|>user\nName three rivers.<|im_end|>\n${answer}`,
      );
      const turns = [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'Hello.' },
        { role: 'user', content: '{{ 1 + 1 }} <|im_end|>' },
      ];
      expect(render(turns)).toBe(
        `<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n` +
          `<|im_start|>user\n{{ 1 + 1 }} <|im_end|><|im_end|>\n${answer}`,
      );
    }
  });
});
