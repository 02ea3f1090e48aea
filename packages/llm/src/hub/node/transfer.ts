/** `#hub-transfer` in Node: through the proxies that the environment names, into the cache folder. */
import { join } from 'node:path';
import type { Dispatcher } from 'undici';
import { cacheFolderPath } from '../../platform/node/cache-folder.ts';
import type { HubTransfer } from '../transfer.ts';
import { download, isFile } from './download.ts';

export const platformFetch: HubTransfer['platformFetch'] = async (timeoutMs) => {
  const { fetch, EnvHttpProxyAgent } = await import('undici');
  const timeouts = { headersTimeout: timeoutMs, bodyTimeout: timeoutMs, connectTimeout: timeoutMs };
  const dispatcher: Dispatcher = new EnvHttpProxyAgent(timeouts);
  return async (url, init) =>
    (await fetch(url, { ...init, dispatcher } as Parameters<typeof fetch>[1])) as unknown as Response;
};

const pathOf = (cacheFolder: string | undefined, name: string) =>
  join(cacheFolderPath(cacheFolder), ...name.split('/'));

export const findKept: HubTransfer['findKept'] = async (cacheFolder, name) => {
  const path = pathOf(cacheFolder, name);
  return (await isFile(path)) ? path : undefined;
};

export const fetchAndKeep: HubTransfer['fetchAndKeep'] = async (remote, cacheFolder, name, options) => {
  const path = pathOf(cacheFolder, name);
  await download(remote, path, options);
  return path;
};
