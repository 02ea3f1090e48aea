/** How `--help` is laid out. */
import { wrapLine } from '@keysieve/lab';
import { type Command, Help, type HelpConfiguration } from 'commander';

/** Descriptions in less than this go below what they describe. */
const MIN_DESCRIPTION_WIDTH = 30;
const MARGIN = ' '.repeat(6);

const { formatItem } = Help.prototype;

/** Options and subcommands beside their descriptions, or above them where the terminal is narrow. */
export const helpLayout: HelpConfiguration = {
  minWidthToWrap: 10,
  styleUsage: (usage) => wrapLine(`Usage: ${usage}`, process.stdout.columns || 80).slice('Usage: '.length),
  formatItem(term, termWidth, description, helper) {
    const columns = helper.helpWidth ?? 80;
    if (!description || columns - termWidth - 4 >= MIN_DESCRIPTION_WIDTH) {
      return formatItem.call(helper, term, termWidth, description, helper);
    }
    const lines = helper.boxWrap(description, columns - MARGIN.length).split('\n');
    return [`  ${term}`, ...lines.map((line) => MARGIN + line)].join('\n');
  },
};

/** Calls by the names of the commands, which their help ends with. */
const EXAMPLES: Readonly<Record<string, string>> = {
  generate: "--model hf:OWNER/REPO --chat 'Name three rivers.'",
  serve: '-m nano -m smol=hf:OWNER/REPO --port 8080',
  'cache list': './prompts',
  'cache prune': './prompts --limit 1000000000',
  inspect: '--model model.gguf --context 32768',
  models: '--json',
  measure: '--model model.gguf --text book.txt --law law.json',
  eval: '--model model.gguf --text book.txt --suggest kl=0.01',
  'bench decode': '--model model.gguf --text book.txt --tokens 2048,8192',
  'bench attention': '--captures heads.safetensors --ladder',
  capture: '--model model.gguf --text book.txt --out heads.safetensors',
  claims: '--captures heads.safetensors --out claims.md',
  methods: '--captures heads.safetensors --report methods.html',
  merge: 'shard-1.jsonl shard-2.jsonl --report merged.html',
  'sweep queue': 'plan.yaml --queue redis://localhost:6379',
  worker: '--queue redis://localhost:6379 --models ./models',
  demo: '--tokens 32768',
};

/** Ends the help of a command, and of those below it, with an example. */
export function addExamples(command: Command, path: readonly string[] = []): void {
  const example = EXAMPLES[path.join(' ')];
  if (example !== undefined) command.addHelpText('after', `\nExample:\n  ${['keysieve', ...path, example].join(' ')}`);
  for (const each of command.commands) addExamples(each, [...path, each.name()]);
}
