import { AT_HAND, type AtHand } from '../at-hand.ts'
import type { WherryError } from '../errors.ts'
import { refusal } from '../refusal.ts'
import type { MemoryStoreOptions } from './memory-store.ts'
import type { StorageLike } from './storage-items.ts'
import type { Store } from './store.ts'

/** What of an unstorage `Storage` leads to its driver. */
interface Mounts {
  getMount?(key: string): { readonly driver?: { readonly name?: string | undefined } }
}

/** What a service takes as its storage: a store, a promise of one, or an unstorage `Storage`. */
export type StorageSource = Store | PromiseLike<Store> | (StorageLike & Mounts)

/** Drivers whose own client makes a better store than their items do, and who opens that. */
const NATIVE: Readonly<Record<string, string>> = {
  'cloudflare-kv-binding': 'cloudflare',
  'deno-kv': 'deno',
  'deno-kv-node': 'node',
  fs: 'node',
  'fs-lite': 'node',
  db0: 'node',
  redis: 'node',
  upstash: 'node',
}

/**
 * Makes a store of what the user has, or one in memory. Opens nothing.
 *
 * @throws WherryError `input-invalid` for a `Storage` that has a better store, naming it.
 */
export function storeFrom(
  source: StorageSource | undefined,
  memory: MemoryStoreOptions,
): Store | PromiseLike<Store> {
  if (source === undefined) return atHand('memoryStore', 'storage: createMemoryStore()')(memory)
  if (Object(source) !== source) throw refuse('a Store: openStore(url) of a runtime gives one')
  if ('then' in source || 'commit' in source) return source
  if (!('getItem' in source)) throw refuse('a Store, a promise of one, or an unstorage Storage')
  const runtime = NATIVE[source.getMount?.('').driver?.name ?? '']
  if (runtime !== undefined) throw refuse(`openStore(storage) of wherry/runtime/${runtime}`)
  return atHand('unstorageStore', 'createUnstorageStore(storage)')(source)
}

function atHand<Kind extends 'memoryStore' | 'unstorageStore'>(
  kind: Kind,
  remedy: string,
): NonNullable<AtHand[Kind]> {
  const make = AT_HAND[kind]
  if (make === undefined) throw refuse(remedy)
  return make
}

function refuse(expected: string): WherryError {
  return refusal('use this as storage', 'it cannot be as it is', expected)
}
