import type { HonoRequest, MiddlewareHandler } from 'hono'
import { WherryError } from '../errors.ts'
import { refusal, shown } from '../refusal.ts'
import { isJsonType } from './body.ts'
import { answerRefusal } from './status.ts'

/**
 * Who is let in.
 *
 * - `token`: whoever sends `Authorization: Bearer <token>`. A token always means this.
 * - `loopback`: programs on this machine, but no web page that its browser shows.
 * - `closed`: nobody, until there is a token. For what the internet can reach.
 * - `none`: everyone.
 */
export type Auth = 'token' | 'loopback' | 'closed' | 'none'

export interface DoorOptions {
  /** The secret that every route but `GET /health` wants. Empty: none. */
  readonly token?: string | undefined
  /** Who is let in where there is no token. Default `loopback`. */
  readonly auth?: Auth | undefined
  /** The platform that the door stands on, by the name that `GET /health` shows. Default `unknown`. */
  readonly runtime?: string | undefined
}

/** Says why the request is not let in; null: it is. */
type Guard = (request: HonoRequest) => WherryError | null

/**
 * What stands before the routes; before other routes of yours, too, if you want.
 *
 * @throws WherryError `input-invalid` for a token or an `auth` that could let nobody in.
 *
 * @example
 * ```ts
 * app.use('/search', createDoor({ token: env.WHERRY_TOKEN }))
 * ```
 */
export function createDoor(options: DoorOptions): MiddlewareHandler {
  const guard = guardOf(options)
  return async (c, next) => {
    const refused = guard(c.req)
    // Answered here, so that it needs no error handler of the app around it.
    if (refused !== null) return answerRefusal(refused, c)
    await next()
  }
}

function guardOf({ token = '', auth = 'loopback' }: DoorOptions): Guard {
  if (token !== '') return tokenGuard(token)
  switch (auth) {
    case 'loopback':
      return loopbackGuard
    case 'closed':
      return closedGuard
    case 'none':
      return () => null
    case 'token':
      throw refusal('create the app', 'auth is "token" and there is no token', 'one')
    default:
      throw refusal('create the app', `auth is ${shown(auth)}`, 'token, loopback, closed or none')
  }
}

const VISIBLE = /^[\x21-\x7e]+$/
const BEARER = /^Bearer +(\S+) *$/i

function tokenGuard(token: string): Guard {
  if (!VISIBLE.test(token)) {
    const is = 'the token has a space or another character that no header carries'
    throw refusal('create the app', is, 'visible ASCII')
  }
  return (request) => {
    const given = BEARER.exec(request.header('authorization') ?? '')?.[1] ?? ''
    if (isSame(given, token)) return null
    return new WherryError(
      'unauthorized',
      'Cannot let the request in: expected the header "Authorization: Bearer <token>" with the right token',
    )
  }
}

/** Takes as long for a near miss as for a wild guess: the time depends on `given` alone. */
function isSame(given: string, wanted: string): boolean {
  let difference = given.length ^ wanted.length
  for (let i = 0; i < given.length; i++) {
    difference |= given.charCodeAt(i) ^ wanted.charCodeAt(i % wanted.length)
  }
  return difference === 0
}

const closedGuard: Guard = () =>
  new WherryError(
    'forbidden',
    'Cannot let the request in: no token is set, expected WHERRY_TOKEN in the environment, or `auth: "none"` to let everyone in',
  )

const LOOPBACK =
  /^(?:localhost|127(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}|\[::1\])(?::\d{1,5})?$/

/**
 * Any web page may make its visitor's browser send requests to this machine. Such a request tells
 * on itself: its Host is the page's (when a name was pointed at 127.0.0.1), or its Origin is, or it
 * is a POST of a kind that a form can send.
 */
const loopbackGuard: Guard = (request) => {
  // HTTP/2 has no Host header, but the same in the URL. HTTP/1.0 may have neither: no browser's.
  const host = (
    request.header('host') ?? new URL(request.url, 'http://localhost').host
  ).toLowerCase()
  if (!LOOPBACK.test(host)) {
    return forbidden(`the host is ${shown(host)}`, 'localhost, 127.0.0.1 or [::1]')
  }
  const origin = request.header('origin')?.toLowerCase()
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    return forbidden(`the origin is ${shown(origin)}`, `none or http://${host}`)
  }
  if (request.method === 'POST' && !isJsonType(request)) {
    return new WherryError(
      'media-type-unsupported',
      'Cannot let the request in: expected the header "Content-Type: application/json" on every POST',
    )
  }
  return null
}

function forbidden(is: string, expected: string): WherryError {
  return new WherryError(
    'forbidden',
    `Cannot let the request in: ${is}, expected ${expected}. With WHERRY_TOKEN set, others may come in by the token`,
  )
}
