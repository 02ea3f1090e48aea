/** How `--help` is laid out. */
import { wrapLine } from '@keysieve/lab';
import { Help, type HelpConfiguration } from 'commander';

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
