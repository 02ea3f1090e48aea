// Keeps the whole page from the start, so that it opens without a network: FILES and VERSION are put in by the build. A
// page that is opened through it is isolated from other origins, which no static host need know of, and so may have threads.
const CACHE = `keysieve-${VERSION}`;

self.addEventListener('install', (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
});

self.addEventListener('activate', (event) => event.waitUntil(begin()));

async function begin() {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin || request.headers.has('range'))
    return;
  event.respondWith(answer(request).then(isolated));
});

/** The page itself from the network where there is one, and its parts, whose names change with what is in them, as kept. */
async function answer(request) {
  const kept = () => caches.match(request, { ignoreSearch: true, cacheName: CACHE });
  if (request.mode !== 'navigate') return (await kept()) ?? fetch(request);
  try {
    return await fetch(request);
  } catch {
    return (await kept()) ?? Response.error();
  }
}

function isolated(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
