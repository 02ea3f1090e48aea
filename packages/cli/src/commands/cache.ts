/** `keysieve cache`: what is kept of prompts in a folder, as `keysieve serve --cache-dir` does. */
import { formatBytes } from '@keysieve/lab';
import { openFolder, printableJson } from '@keysieve/llm';
import { Command } from 'commander';
import { addJsonOption, parseWholeNumber } from '../options.ts';
import { print } from '../terminal.ts';

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
  list.addHelpText('after', '\nExample:\n  keysieve cache list ./prompts');
  return command.addCommand(list).addCommand(prune);
}

async function listCache(path: string, { json }: { json?: boolean }): Promise<void> {
  const kept = await openFolder(path).list();
  if (json) return print(`${printableJson(kept)}\n`);
  for (const { modelName, settings, pages, bytes, usedMs } of kept) {
    const { precision, encodings } = settings?.cache ?? { precision: 'unreadable', encodings: [] };
    const shape = [precision, ...encodings].join(' ');
    print(`${modelName}  ${pages} pages  ${formatBytes(bytes)}  ${shape}  used ${new Date(usedMs).toISOString()}\n`);
  }
  if (kept.length === 0) print('Nothing is kept there.\n');
}

async function pruneCache(path: string, { limit, json }: { limit: number; json?: boolean }): Promise<void> {
  const bytes = await openFolder(path).prune(limit);
  print(json ? `${printableJson({ bytes })}\n` : `${formatBytes(bytes)} are left.\n`);
}
