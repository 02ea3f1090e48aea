// Keeps what the page has loaded, so that it opens without a network: from the network where there is one, for the page
// itself, and from the cache for its parts, whose names change with what is in them.
const CACHE = 'keysieve-1';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin || request.headers.has('range'))
    return;
  event.respondWith(request.mode === 'navigate' ? newest(request) : kept(request));
});

async function newest(request) {
  try {
    return await keep(request);
  } catch {
    return (await caches.match(request, { ignoreSearch: true })) ?? Response.error();
  }
}

async function kept(request) {
  return (await caches.match(request)) ?? keep(request);
}

async function keep(request) {
  const response = await fetch(request);
  if (response.ok) (await caches.open(CACHE)).put(request, response.clone());
  return response;
}
