/** A page that shows how far a sweep is, and draws itself anew every few seconds. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sweepError } from './errors.ts';
import type { Queues } from './queues.ts';
import { type SweepStatus, sweepStatus } from './sweeps.ts';

export interface StatusPage extends AsyncDisposable {
  /** Address of the page. */
  url: string;
}

const SECONDS = 5;

/** Serves the page of a sweep on 127.0.0.1. Throws `sweep-not-found`, and what the system says about the port. */
export async function serveStatus(queues: Queues, id: string, port: number): Promise<StatusPage> {
  await sweepStatus(queues, id);
  const server = createServer(async (request, response) => {
    try {
      const status = await sweepStatus(queues, id);
      const isJson = request.url === '/status.json';
      response.setHeader('content-type', isJson ? 'application/json' : 'text/html; charset=utf-8');
      response.setHeader('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
      response.end(isJson ? JSON.stringify(status) : statusPage(status));
    } catch (error) {
      response.statusCode = 503;
      response.end((error as Error).message);
    }
  });
  await new Promise<void>((resolve, reject) => {
    const refuse = (cause: Error) =>
      reject(
        sweepError({
          code: 'address-unavailable',
          problem: 'The page cannot be served there.',
          found: `port ${port} (${(cause as NodeJS.ErrnoException).code})`,
          remedy: 'Give another port, or 0 for a free one.',
          cause,
        }),
      );
    try {
      server.once('error', refuse).listen(port, '127.0.0.1', resolve);
    } catch (error) {
      refuse(error as Error);
    }
  });
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await close();
    },
  };
}

/** The page as HTML. */
export function statusPage({ id, cells, tokens, failed }: SweepStatus): string {
  const share = tokens.total === 0 ? 0 : tokens.done / tokens.total;
  const states = Object.entries(cells).map(([state, count]) => `<tr><td>${state}</td><td>${count}</td></tr>`);
  const faults = failed.map(
    ({ cell, error, tries }) =>
      `<tr><td>${escapeHtml(JSON.stringify(cell))}</td><td>${escapeHtml(error)}</td><td>${tries}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="${SECONDS}">
<meta name="viewport" content="width=device-width"><title>Sweep ${id}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}
td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top;overflow-wrap:anywhere}progress{width:100%}</style>
<h1>Sweep ${id}</h1>
<p>${(100 * share).toFixed(1)} % of ${tokens.total.toLocaleString('en-US')} tokens</p>
<progress value="${share}"></progress>
<table><tr><th>cells</th><th></th></tr>${states.join('')}</table>
${failed.length > 0 ? `<h2>Set aside</h2><table><tr><th>cell</th><th>error</th><th>tries</th></tr>${faults.join('')}</table>` : ''}
</html>`;
}

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
