/**
 * wherry on Node: an HTTP server and a resident worker in one process.
 *
 * @module
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve as listen } from '@hono/node-server'
import type { JobQueueService, Store } from '../../src/main.ts'
import { localStores } from './local-stores.ts'
import { openFrom, type StorageGiven } from './open-store.ts'
import { type AddressOptions, type Environment, listenOn, ready, type Setup } from './setup.ts'

export type { Environment, Setup, SetupContext, SetupResult } from './setup.ts'

export interface ServeOptions extends AddressOptions {
  /** Default: `process.env`. */
  readonly env?: Environment | undefined
  /** Whether SIGTERM and SIGINT close the server in good order. Default true. */
  readonly signals?: boolean | undefined
}

/** A server that answers and works. */
export interface Serving {
  readonly url: string
  readonly service: JobQueueService
  /** Claims no more jobs, waits for those under way, gives back the rest, and closes the port. */
  close(): Promise<void>
}

/**
 * A store of a URL (`sqlite:./jobs.db`, `redis://localhost`, `fs:./jobs`, `memory:`, …), an unstorage
 * driver, a `Storage` or a `Store`. `env` has what URLs should not hold; default `process.env`.
 *
 * @throws WherryError `input-invalid` for an unknown scheme, with the list of known ones.
 */
export function openStore(given: StorageGiven, env: Environment = process.env): Promise<Store> {
  return openFrom(given, localStores(env))
}

/**
 * Serves the HTTP API and runs jobs until SIGTERM or `close()`.
 *
 * @example
 * ```ts
 * await serve(async (env) => {
 *   const jobs = new JobQueueService({ storage: openStore('sqlite:./jobs.db') })
 *   await jobs.createQueue({ name: 'mail', process: send })
 *   return jobs
 * })
 * ```
 */
export async function serve(setup: Setup, options: ServeOptions = {}): Promise<Serving> {
  const { env = process.env, signals = true } = options
  const { address, door } = listenOn(env, options, 'node')
  const { service, app } = await ready(setup, env, door)
  const server = listen({ fetch: app.fetch, ...address }) as Server
  if (!server.listening) await once(server, 'listening')
  await service.start()
  const close = async (): Promise<void> => {
    await service.stop()
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
    await service.close()
  }
  if (signals) closeOnSignal(close)
  return { url: urlOf(server.address() as AddressInfo), service, close }
}

function closeOnSignal(close: () => Promise<void>): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void close())
}

function urlOf({ address, port, family }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
