/** A server in a process of its own, to be killed: prints its address. Arguments: the folder where it keeps prompts. */
import { serveNano } from './servers.ts';

const [, , cacheFolder = ''] = process.argv;
const server = await serveNano({ cacheFolder });
process.stdout.write(`${server.url}\n`);
