import type { MiddlewareHandler } from 'hono'
import { WherryError } from '../errors.ts'

/**
 * Reads every body, whether its route wants one or not, and refuses what is too long as soon as that
 * is known. Hono's own costs a third of a kilobyte more, in a Worker that counts them.
 *
 * @throws WherryError `body-too-large`.
 */
export function limitBody(bytesMax: number): MiddlewareHandler {
  return async ({ req }, next) => {
    const chunks: Uint8Array<ArrayBuffer>[] = []
    assertFits(Number(req.header('content-length') ?? 0), bytesMax)
    let length = 0
    for await (const chunk of req.raw.body ?? []) {
      length += chunk.length
      assertFits(length, bytesMax)
      chunks.push(chunk)
    }
    req.bodyCache.arrayBuffer = await new Blob(chunks).arrayBuffer()
    await next()
  }
}

function assertFits(length: number, bytesMax: number): void {
  if (length <= bytesMax) return
  throw new WherryError(
    'body-too-large',
    `Cannot read the body: it has over ${bytesMax} bytes, the most that is taken`,
  )
}
