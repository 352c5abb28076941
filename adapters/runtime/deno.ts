/**
 * wherry on Deno: an HTTP server, a resident worker, and `Deno.cron` where it is switched on. On
 * Deno Deploy, where nothing lives on between requests, the cron alone drives the work.
 *
 * @module
 */
import { type JobQueueService, type Store, WherryError } from '../../src/main.ts'
import { localStores } from './local-stores.ts'
import { openFrom, type StorageGiven } from './open-store.ts'
import {
  type AddressOptions,
  doorOf,
  type Environment,
  listenOn,
  type Ready,
  ready,
  type Setup,
  settingOf,
} from './setup.ts'

export type { Environment, Setup, SetupContext, SetupResult } from './setup.ts'

/** What we use of the platform: its types are not to be had where these sources are checked. */
interface DenoPlatform {
  readonly env: { toObject(): Record<string, string> }
  serve(
    options: {
      hostname: string
      port: number
      signal: AbortSignal
      onListen: (address: { hostname: string; port: number }) => void
    },
    handler: (request: Request) => Response | Promise<Response>,
  ): { readonly finished: Promise<void> }
  cron?(
    name: string,
    schedule: string,
    options: { readonly signal: AbortSignal },
    tick: () => Promise<void>,
  ): unknown
  addSignalListener(signal: string, listener: () => void): void
  removeSignalListener(signal: string, listener: () => void): void
}

export interface ServeOptions extends AddressOptions {
  /** Default: `Deno.env`. */
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
 * A store of a URL (`deno-kv:`, `sqlite:./jobs.db`, `redis://localhost`, `fs:./jobs`, `memory:`, …), an unstorage
 * driver, a `Storage` or a `Store`. `env` has what URLs should not hold; default `Deno.env`.
 *
 * @throws WherryError `input-invalid` for an unknown scheme, with the list of known ones.
 */
export function openStore(given: StorageGiven, env?: Environment): Promise<Store> {
  return openFrom(given, localStores(env ?? platform().env.toObject()))
}

/** Serves the HTTP API and runs jobs until SIGTERM or `close()`. Call it while the module loads. */
export async function serve(setup: Setup, options: ServeOptions = {}): Promise<Serving> {
  const deno = platform()
  const env = options.env ?? deno.env.toObject()
  const deployed = settingOf(env, 'DENO_DEPLOYMENT_ID') !== undefined
  const { address, door } = deployed ? deployedOn(env, options) : listenOn(env, options, 'deno')
  const readying = ready(setup, env, door)
  const ending = new AbortController()
  // Registered before the first await: Deno Deploy looks for crons while the module loads.
  deno.cron?.('wherry', '* * * * *', { signal: ending.signal }, () => tick(readying))
  const { service, app } = await readying
  const listening = Promise.withResolvers<string>()
  const onListen = (at: { hostname: string; port: number }): void =>
    listening.resolve(`http://${at.hostname}:${at.port}`)
  const server = deno.serve({ ...address, signal: ending.signal, onListen }, app.fetch)
  if (deployed) service.attach({ resident: false })
  else await service.start()
  const close = async (): Promise<void> => {
    for (const signal of SIGNALS) deno.removeSignalListener(signal, closeNow)
    await service.stop()
    // An orderly shutdown would wait for every connection that a client keeps open.
    ending.abort()
    await server.finished
    await service.close()
  }
  const closeNow = (): void => void close()
  if (options.signals !== false && !deployed) {
    for (const signal of SIGNALS) deno.addSignalListener(signal, closeNow)
  }
  return { url: await listening.promise, service, close }
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

async function tick(readying: Promise<Ready>): Promise<void> {
  const { service } = await readying
  await service.drain()
}

function deployedOn(env: Environment, options: ServeOptions): ReturnType<typeof listenOn> {
  const address = { hostname: '0.0.0.0', port: Number(settingOf(env, 'PORT') ?? 8000) }
  return { address, door: doorOf(settingOf(env, 'WHERRY_TOKEN'), options.auth, 'closed', 'deno') }
}

function platform(): DenoPlatform {
  const { Deno } = globalThis as { readonly Deno?: DenoPlatform }
  if (Deno !== undefined) return Deno
  throw new WherryError(
    'input-invalid',
    'Cannot serve: this is not Deno, use the entry of your own runtime',
  )
}
