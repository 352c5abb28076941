/** What this store needs of a Deno KV database, and how to come by one on each runtime. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { WherryError } from '../../../src/errors.ts'
import { refusal } from '../../../src/refusal.ts'

export type DenoKvKey = readonly (string | number)[]

export interface DenoKvEntry {
  readonly key: readonly unknown[]
  readonly value: unknown
  readonly versionstamp: string | null
}

export interface DenoKvCheck {
  readonly key: DenoKvKey
  /** Null: there must be no such entry. */
  readonly versionstamp: string | null
}

/** What of `Deno.Kv` is used; the `Kv` of `@deno/kv` fits as well. */
export interface DenoKv {
  getMany(keys: readonly DenoKvKey[]): Promise<readonly DenoKvEntry[]>
  list(
    selector: { start: DenoKvKey; end: DenoKvKey },
    options: { limit?: number; reverse?: boolean; batchSize?: number },
  ): AsyncIterable<DenoKvEntry>
  atomic(): DenoKvAtomic
  close(): void
}

export interface DenoKvAtomic {
  check(...checks: DenoKvCheck[]): unknown
  set(key: DenoKvKey, value: unknown, options?: { expireIn?: number }): unknown
  delete(key: DenoKvKey): unknown
  sum(key: DenoKvKey, by: bigint): unknown
  commit(): Promise<{ readonly ok: boolean; readonly versionstamp?: string }>
}

interface DenoPlatform {
  readonly Deno?: { readonly openKv?: (path?: string) => Promise<DenoKv> }
}

/** Whether the path names a file of this machine, and not Deno's own default or a server. */
export function isFile(path: string): boolean {
  return path !== '' && !isServer(path)
}

function isServer(path: string): boolean {
  return /^https?:\/\//i.test(path)
}

/**
 * Checks that one operation may have. Deno takes 100 for a file; `@deno/kv` and the protocol to servers
 * take ten, and so perhaps does whatever was handed in.
 */
export function checksMaxOf(given: string | DenoKv): number {
  const isOwnFile = typeof given === 'string' && isFile(given)
  return isOwnFile && 'Deno' in globalThis ? 100 : 10
}

/**
 * Opens the database at the path: by the runtime itself on Deno, else by `@deno/kv`.
 *
 * @throws WherryError that names what is missing.
 */
export async function openDatabase(path: string): Promise<DenoKv> {
  if (isFile(path) && path !== ':memory:') mkdirSync(dirname(path), { recursive: true })
  const { Deno } = globalThis as DenoPlatform
  if (Deno === undefined) return openByPackage(path)
  if (Deno.openKv !== undefined) return Deno.openKv(path === '' ? undefined : path)
  throw refusal('open Deno KV', 'Deno has it switched off', '--unstable-kv', 'store-unavailable')
}

async function openByPackage(path: string): Promise<DenoKv> {
  if (path === '') {
    // The package would take it for a database in memory.
    const expected = 'a path, as in deno-kv:./jobs.kv (only Deno has a default database)'
    throw refusal('open Deno KV', 'there is no path', expected)
  }
  const { openKv } = await loadPackage()
  return openKv(path, { encodeV8: refuseV8, decodeV8: refuseV8 })
}

async function loadPackage(): Promise<typeof import('@deno/kv')> {
  try {
    return await import('@deno/kv')
  } catch (cause) {
    const message =
      'Cannot open Deno KV: the package "@deno/kv" is missing, expected npm install @deno/kv'
    throw new WherryError('store-unavailable', message, { cause })
  }
}

/**
 * Values are bytes, which every runtime reads. In V8's own format Deno would write what an older Node
 * cannot read, and Bun has no V8.
 */
function refuseV8(): never {
  throw new Error('This database holds values that are not bytes')
}
