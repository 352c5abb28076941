import type { Context, Next } from 'hono'

const HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
}

/** Sees to it that no browser runs, frames, keeps or leaks an answer that says nothing of it. */
export async function securityHeaders(c: Context, next: Next): Promise<void> {
  await next()
  for (const [name, value] of Object.entries(HEADERS)) {
    if (!c.res.headers.has(name)) c.header(name, value)
  }
}
