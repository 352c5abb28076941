import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { WherryError, type WherryErrorCode } from '../errors.ts'
import type { Logger } from '../logger.ts'

/** The HTTP status of each error. The last three come from `wait()`, which no route calls. */
const STATUS = {
  'json-malformed': 400,
  'input-invalid': 400,
  'name-invalid': 400,
  'data-unserialisable': 400,
  unauthorized: 401,
  forbidden: 403,
  'queue-not-found': 404,
  'job-not-found': 404,
  'route-not-found': 404,
  'job-settled': 409,
  'job-unsettled': 409,
  'lease-lost': 409,
  'id-taken': 409,
  'body-too-large': 413,
  'data-too-large': 413,
  'media-type-unsupported': 415,
  internal: 500,
  'record-corrupt': 500,
  'unsupported-by-store': 501,
  'unsupported-by-strategy': 501,
  'store-unavailable': 503,
  'job-failed': 500,
  'job-cancelled': 500,
  'wait-timeout': 504,
} as const satisfies Record<WherryErrorCode, ContentfulStatusCode>

/** What a caller learns where the true message may hold addresses, passwords or payloads. */
const DISCREET: Partial<Record<WherryErrorCode, string>> = {
  internal: 'Cannot answer: the log says why',
  'record-corrupt': 'Cannot read what is stored: the log says why',
  'store-unavailable': 'Cannot reach the store: the log says why',
}

export function statusOf(code: WherryErrorCode): ContentfulStatusCode {
  return STATUS[code]
}

/** Answers any error as JSON. What the answer keeps to itself goes to the log. */
export function answerError(error: Error, c: Context, logger: Logger): Response {
  const code = error instanceof WherryError ? error.code : 'internal'
  const message = DISCREET[code]
  if (message === undefined) return answerRefusal(error as WherryError, c)
  logger.error('A request failed', { error, code, method: c.req.method, path: c.req.path })
  return answerRefusal({ code, message }, c)
}

/** Answers an error that may be told as it is. */
export function answerRefusal({ code, message }: Refusal, c: Context): Response {
  if (code === 'unauthorized') c.header('WWW-Authenticate', 'Bearer')
  // The rest of the body may still be on its way, and is no next request.
  if (code === 'body-too-large') c.header('Connection', 'close')
  return c.json({ error: { code, message } }, statusOf(code))
}

type Refusal = Pick<WherryError, 'code' | 'message'>
