/** What the runtimes have in common: how an app is set up, and which door it gets. */
import type { Hono } from 'hono'
import { createApp, type DoorOptions } from '../../src/http/main.ts'
import { type JobQueueService, WherryError } from '../../src/main.ts'

/** Settings by name, as an environment has them; a Worker's also holds its bindings. */
export type Environment = Readonly<Record<string, unknown>>

/** What a setup is told beside its environment. */
export interface SetupContext {
  /** The door that this runtime wants: hand it to `createApp` when you mount that yourself. */
  readonly door: DoorOptions
}

/** A service, or a service and the app that serves it. */
export type SetupResult =
  | JobQueueService
  | { readonly service: JobQueueService; readonly app: Hono }

/** Makes the service and its queues. Runs once; handlers reach the environment by closure. */
export type Setup<Env = Environment> = (
  env: Env,
  context: SetupContext,
) => SetupResult | Promise<SetupResult>

export interface Ready {
  readonly service: JobQueueService
  readonly app: Hono
}

/** Runs the setup; without an app of its own the service gets the HTTP API alone. */
export async function ready<Env>(setup: Setup<Env>, env: Env, door: DoorOptions): Promise<Ready> {
  const result = await setup(env, { door })
  return 'app' in result ? result : { service: result, app: createApp(result, door) }
}

/** The setting of that name, when it is text that says something. */
export function settingOf(env: Environment, name: string): string | undefined {
  const value = env[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

export interface Address {
  readonly hostname: string
  readonly port: number
}

export interface AddressOptions {
  /** Default: `PORT`, else 3000. 0: any free port. */
  readonly port?: number | undefined
  /** Default: `HOST`, else 127.0.0.1. */
  readonly hostname?: string | undefined
  /** `none` opens every route to everyone who reaches the port. */
  readonly auth?: 'none' | undefined
}

/**
 * Where to listen, and behind which door.
 *
 * @throws WherryError `input-invalid` for a port that is none, or for an address that others can
 * reach without a token.
 */
export function listenOn(
  env: Environment,
  options: AddressOptions,
  runtime: string,
): { address: Address; door: DoorOptions } {
  const hostname = options.hostname ?? settingOf(env, 'HOST') ?? '127.0.0.1'
  const port = options.port ?? Number(settingOf(env, 'PORT') ?? 3000)
  const token = settingOf(env, 'WHERRY_TOKEN')
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new WherryError(
      'input-invalid',
      `Cannot listen: PORT is "${settingOf(env, 'PORT')}", expected 0 to 65535`,
    )
  }
  if (token === undefined && options.auth !== 'none' && !isLoopback(hostname)) {
    throw new WherryError(
      'input-invalid',
      `Cannot listen on "${hostname}": others can reach it and there is no token, expected WHERRY_TOKEN (or auth: 'none')`,
    )
  }
  return { address: { hostname, port }, door: doorOf(token, options.auth, 'loopback', runtime) }
}

/** The door for a token, for none, and for a platform that answers the world. */
export function doorOf(
  token: string | undefined,
  auth: 'none' | undefined,
  otherwise: 'loopback' | 'closed',
  runtime: string,
): DoorOptions {
  if (token !== undefined) return { auth: 'token', token, runtime }
  return { auth: auth ?? otherwise, runtime }
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname === '::1' ||
    /^127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(hostname)
  )
}
