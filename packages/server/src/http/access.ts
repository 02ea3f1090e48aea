/** Who may call: API keys, the hosts that a request may name, and the web pages that may send one. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { ApiError } from './api-error.ts';
import { PREFIX_HEADER } from './prefix-header.ts';

/** Refuses requests without the key (401), in a time that does not depend on what they bring. */
export function requireKey(apiKey: string): MiddlewareHandler {
  const expected = digest(apiKey);
  return async (c, next) => {
    const key = bearerToken(c.req.header('authorization')) ?? c.req.header('x-api-key') ?? '';
    if (timingSafeEqual(digest(key), expected)) return next();
    throw new ApiError({
      status: 401,
      type: 'authentication_error',
      code: 'invalid_api_key',
      message: 'The API key is missing or wrong. Send it as "Authorization: Bearer KEY" or "x-api-key: KEY".',
    });
  };
}

/** Equally long for all keys, so that they can be compared in constant time. */
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const bearerToken = (header: string | undefined): string | undefined => /^Bearer +(.+)$/i.exec(header ?? '')?.[1];

/**
 * Refuses requests (403) that name another host than this machine, as those of a web page do whose own name was pointed
 * at this machine (DNS rebinding). For a server without a key.
 */
export const requireLocalHost: MiddlewareHandler = async (c, next) => {
  if (isLocalName(new URL(c.req.url).hostname)) return next();
  throw forbidden('host_not_allowed', 'The Host header names another machine. Use localhost or 127.0.0.1.');
};

/**
 * Lets pages of the allowed origins call, and refuses what others send (403): a browser sends some requests before it
 * asks whether it may, and only hides the answer.
 */
export function allowOrigins(origins: readonly string[] | undefined): MiddlewareHandler {
  const isAllowed = (origin: string, c: Context) =>
    origins?.includes(origin) ?? (isLocalOrigin(origin) || origin === new URL(c.req.url).origin);
  const setHeaders = cors({
    origin: (origin, c) => (origin !== '' && isAllowed(origin, c) ? origin : null),
    allowHeaders: [],
    exposeHeaders: ['Retry-After', 'X-Request-Id', PREFIX_HEADER],
    maxAge: 600,
  });
  return async (c, next) => {
    const origin = c.req.header('origin');
    if (origin !== undefined && !isAllowed(origin, c)) {
      throw forbidden('origin_not_allowed', 'Pages of this origin may not call the server; --cors-origin allows one.');
    }
    return setHeaders(c, next);
  };
}

function isLocalOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLocalName(new URL(origin).hostname);
}

const isLocalName = (name: string): boolean =>
  name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(\.\d{1,3}){3}$/.test(name);

const forbidden = (code: string, message: string) =>
  new ApiError({ status: 403, type: 'permission_error', code, message });
