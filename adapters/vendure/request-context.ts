/**
 * The secrets of a request, in what is stored of it. `RequestContext.serialize()` copies the headers
 * of the request, `Authorization` among them, and the token of the session.
 */

/** By these Vendure itself knows a serialised context. */
const MARKS = ['_apiType', '_channel', '_languageCode']

type Fields = Readonly<Record<string, unknown>>

/**
 * The data without the requests and session tokens of the contexts in it, however deep these lie.
 * What holds none is given back as it is.
 */
export function withoutRequests(data: unknown, within: readonly object[] = []): unknown {
  if (typeof data !== 'object' || data === null || within.includes(data)) return data
  const inner = (value: unknown): unknown => withoutRequests(value, [...within, data])
  if (Array.isArray(data)) return changed(data, data.map(inner))
  // What is no plain object (a Date that a getter gave) has no context in it.
  if (Object.prototype.toString.call(data) !== '[object Object]') return data
  if (MARKS.every((mark) => Object.hasOwn(data, mark))) return pruned(data as Fields)
  const entries = Object.entries(data).map(([key, value]) => [key, inner(value)] as const)
  return changed(data, Object.fromEntries(entries))
}

/** A context that was not serialised has what its getters give as well. */
function pruned({ _req, req, ...context }: Fields): Fields {
  const kept: Record<string, unknown> = context
  for (const name of ['_session', 'session']) {
    const session = kept[name]
    if (typeof session === 'object' && session !== null) kept[name] = { ...session, token: '' }
  }
  return kept
}

/** The copy, if anything in it differs: data may be large, and most holds no context. */
function changed<T extends object>(data: T, copy: T): T {
  const fields = copy as Fields
  return Object.entries(data).every(([key, value]) => fields[key] === value) ? data : copy
}
