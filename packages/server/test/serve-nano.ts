/** A server in a process of its own, to be killed or measured: prints its address. Argument: its options as JSON. */
import { serveNano } from './servers.ts';

const [, , options = '{}'] = process.argv;
const server = await serveNano(JSON.parse(options));
process.stdout.write(`${server.url}\n`);
