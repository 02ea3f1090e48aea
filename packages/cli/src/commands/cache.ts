/** `keysieve cache`: what is kept of prompts in a folder, as `keysieve serve --cache-dir` does. */
import { formatBytes, formatCount } from '@keysieve/lab';
import { openFolder } from '@keysieve/llm';
import { Command } from 'commander';
import { addJsonOption, parseWholeNumber } from '../options.ts';
import { printResult, table } from '../tables.ts';

export function cacheCommand(): Command {
  const command = new Command('cache').description('what is kept of prompts in a folder');
  const list = new Command('list').description('the models and settings whose prompts are kept, and their bytes');
  const prune = new Command('prune').description('removes what was used longest ago');
  list.argument('<folder>', 'as in serve --cache-dir').action(listCache);
  prune
    .argument('<folder>', 'as in serve --cache-dir')
    .option('--limit <bytes>', 'that may stay', parseWholeNumber, 0)
    .action(pruneCache);
  addJsonOption(list);
  addJsonOption(prune);
  return command.addCommand(list).addCommand(prune);
}

async function listCache(path: string, { json }: { json?: boolean }): Promise<void> {
  const kept = await openFolder(path).list();
  printResult(json, kept, () => {
    if (kept.length === 0) return 'Nothing is kept there.';
    const rows = kept.map(({ modelName, settings, pages, bytes, usedMs }) => {
      const { precision, encodings } = settings?.cache ?? { precision: 'unreadable', encodings: [] };
      const shape = [precision, ...encodings].join(' ');
      return [modelName, formatCount(pages), formatBytes(bytes), shape, new Date(usedMs).toISOString()];
    });
    return table(['model', 'pages', 'bytes', 'kept as', 'used'], rows);
  });
}

async function pruneCache(path: string, { limit, json }: { limit: number; json?: boolean }): Promise<void> {
  const bytes = await openFolder(path).prune(limit);
  printResult(json, { bytes }, () => `${formatBytes(bytes)} are left.`);
}
