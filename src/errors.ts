/**
 * Why wherry refused. Programs switch on it, so a code never changes its meaning. `docs/guarantees.md`
 * and the HTTP status of each stand in `src/http/status.ts`.
 */
export type WherryErrorCode =
  | 'json-malformed'
  | 'input-invalid'
  | 'name-invalid'
  | 'data-unserialisable'
  | 'unauthorized'
  | 'forbidden'
  | 'queue-not-found'
  | 'job-not-found'
  | 'route-not-found'
  | 'job-settled'
  | 'job-unsettled'
  | 'lease-lost'
  | 'id-taken'
  | 'body-too-large'
  | 'data-too-large'
  | 'media-type-unsupported'
  | 'internal'
  | 'record-corrupt'
  | 'unsupported-by-store'
  | 'unsupported-by-strategy'
  | 'store-unavailable'
  | 'job-failed'
  | 'job-cancelled'
  | 'wait-timeout'

/**
 * An expected refusal. `code` is for programs, `message` for people, `cause` for the log.
 *
 * A message reads "Cannot *do what*: *what is*, *what was expected*".
 */
export class WherryError extends Error {
  override readonly name: string = 'WherryError'
  readonly code: WherryErrorCode

  constructor(code: WherryErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Someone else holds the job now: nothing was changed, and this attempt's result does not count. */
export class LeaseLostError extends WherryError {
  override readonly name = 'LeaseLostError'

  constructor(message: string, options?: ErrorOptions) {
    super('lease-lost', message, options)
  }
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  try {
    const message = (error as { message?: unknown } | null | undefined)?.message
    return typeof message === 'string' && message !== '' ? message : String(error)
  } catch {
    // An object without a prototype, or a getter that throws.
    return 'Something was thrown that has no text'
  }
}
