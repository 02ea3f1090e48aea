/** Which proxy stands between here and the hub. */
import { environment } from '#platform';

/** The proxy that the environment names for a URL's protocol, without its password; undefined where there is none. */
export function proxyFor(url: string): string | undefined {
  const names = url.startsWith('https:') ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy', 'HTTP_PROXY'];
  const proxy = names.map((name) => environment(name)).find((value) => value);
  if (proxy === undefined) return undefined;
  try {
    const { protocol, host } = new URL(proxy);
    return `${protocol}//${host}`;
  } catch {
    return 'a proxy whose address is no URL';
  }
}
