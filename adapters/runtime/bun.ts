/**
 * wherry on Bun: an HTTP server and a resident worker in one process.
 *
 * @module
 */
import { type JobQueueService, type Store, WherryError } from '../../src/main.ts'
import { localStores } from './local-stores.ts'
import { openFrom, type StorageGiven } from './open-store.ts'
import { type AddressOptions, type Environment, listenOn, ready, type Setup } from './setup.ts'

export type { Environment, Setup, SetupContext, SetupResult } from './setup.ts'

/** What we use of the platform: its types are not to be had where these sources are checked. */
interface BunPlatform {
  serve(options: {
    hostname: string
    port: number
    fetch: (request: Request) => Response | Promise<Response>
  }): { readonly url: URL; stop(closeActive: boolean): Promise<void> }
}

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

/** Serves the HTTP API and runs jobs until SIGTERM or `close()`. */
export async function serve(setup: Setup, options: ServeOptions = {}): Promise<Serving> {
  const { env = process.env, signals = true } = options
  const { address, door } = listenOn(env, options, 'bun')
  const { service, app } = await ready(setup, env, door)
  const server = platform().serve({ ...address, fetch: app.fetch })
  await service.start()
  const close = async (): Promise<void> => {
    await service.stop()
    await server.stop(true)
    await service.close()
  }
  if (signals) {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void close())
  }
  return { url: server.url.origin, service, close }
}

function platform(): BunPlatform {
  const { Bun } = globalThis as { readonly Bun?: BunPlatform }
  if (Bun !== undefined) return Bun
  throw new WherryError(
    'input-invalid',
    'Cannot serve: this is not Bun, use the entry of your own runtime',
  )
}
