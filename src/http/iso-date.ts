/** A day, or a time with its zone: a time without one means another moment on every machine. */
const ISO_DATE =
  /^((?:\d{4}|[+-]\d{6})-\d\d-\d\d)(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/

/** Whether the value is ISO 8601 text of a moment that exists. */
export function isIsoDate(value: unknown): value is string {
  const day = typeof value === 'string' && ISO_DATE.exec(value)?.[1]
  if (!day || !Number.isFinite(Date.parse(value))) return false
  // Some engines read February 30 as March 2.
  const time = Date.parse(day)
  return Number.isFinite(time) && new Date(time).toISOString().startsWith(day)
}
