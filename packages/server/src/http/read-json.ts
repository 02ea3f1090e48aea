/** The body of a request: JSON of a limited depth that a schema describes. */
import type { Context } from 'hono';
import type { z } from 'zod';
import { ApiError, invalidRequest } from './api-error.ts';

/** Levels of arrays and objects in a body; schemas of tools nest deepest. */
const MAX_DEPTH = 64;

/**
 * The body, checked against the schema; fields that it does not name are left out. Throws 415 for another type than
 * JSON, and 400 with the field at fault.
 */
export async function readJson<Schema extends z.ZodType>(c: Context, schema: Schema): Promise<z.output<Schema>> {
  const type = c.req.header('content-type') ?? '';
  // Browsers send other types without asking whether they may.
  if (!/^application\/(.+\+)?json\s*(;|$)/i.test(type)) {
    throw new ApiError({
      status: 415,
      type: 'invalid_request_error',
      code: 'unsupported_media_type',
      message: 'The body must be JSON, sent with "Content-Type: application/json".',
    });
  }
  const result = schema.safeParse(await parseBody(c));
  if (result.success) return result.data;
  const issue = deepestIssue(result.error.issues);
  throw invalidRequest(`${issue.path.join('.') || 'The body'}: ${issue.message}`, issue.path.join('.'));
}

async function parseBody(c: Context): Promise<unknown> {
  let value: unknown;
  try {
    const bytes = await c.req.arrayBuffer();
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    // What else can go wrong, such as a body that is too large, has an answer of its own.
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw invalidRequest('The body is not JSON in UTF-8.', undefined, 'invalid_json');
  }
  if (depthExceeds(value, MAX_DEPTH)) {
    throw invalidRequest(`The body nests deeper than ${MAX_DEPTH} levels.`, undefined, 'too_deep');
  }
  return value;
}

function depthExceeds(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((each) => depthExceeds(each, levels - 1));
}

interface Issue {
  path: PropertyKey[];
  message: string;
}

/** What the alternative of a union says that came furthest. */
function deepestIssue(issues: readonly z.core.$ZodIssue[], prefix: PropertyKey[] = []): Issue {
  const issue = issues[0] as z.core.$ZodIssue;
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return { path, message: issue.message };
  const alternatives = issue.errors
    .filter((each) => each.length > 0)
    .map((each) => deepestIssue(each as z.core.$ZodIssue[], path));
  const deepest = alternatives.sort((a, b) => b.path.length - a.path.length)[0];
  return deepest !== undefined && deepest.path.length > path.length ? deepest : { path, message: issue.message };
}
