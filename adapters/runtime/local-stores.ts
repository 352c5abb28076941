/** The stores of the runtimes that have files: Node, Deno and Bun. */
import process from 'node:process'
import { createMemoryStore, type Store } from '../../src/main.ts'
import { refusal } from '../../src/refusal.ts'
import type { DenoKv } from '../store/deno-kv.ts'
import type { RedisClient } from '../store/redis.ts'
import type { DriverLike, StoreKinds } from './open-store.ts'
import type { StorageUrl } from './storage-url.ts'

// Loaded when asked for, so that an app needs only the packages of the store that it uses.
export const LOCAL_STORES: StoreKinds = {
  schemes: {
    memory: () => createMemoryStore(),
    sqlite: async ({ path, base }) => {
      const { createSqliteStore } = await import('../store/sqlite.ts')
      return createSqliteStore(path, { base })
    },
    fs: async ({ path, base }) => {
      const { createFsStore } = await import('../store/fs.ts')
      return createFsStore(path, { base })
    },
    'deno-kv': async ({ path, base }) => {
      const { createDenoKvStore } = await import('../store/deno-kv.ts')
      return createDenoKvStore(path, { base })
    },
    redis: openRedis,
    rediss: openRedis,
    postgres: openPostgres,
    postgresql: openPostgres,
    upstash: async ({ base }) => {
      const url = environment('UPSTASH_REDIS_REST_URL')
      const token = environment('UPSTASH_REDIS_REST_TOKEN')
      const { createUpstashStore } = await import('../store/upstash.ts')
      return createUpstashStore({ url, token, base })
    },
  },
  drivers: {
    fs: openFolder,
    'fs-lite': openFolder,
    'deno-kv': openDenoKv,
    'deno-kv-node': openDenoKv,
    db0: openDatabase,
    upstash: async (driver) => {
      const borrowed = (await driver.getInstance?.()) as UpstashClient
      const { baseUrl: url, headers } = borrowed.client
      const token = headers.authorization.replace('Bearer ', '')
      const { createUpstashStore } = await import('../store/upstash.ts')
      return createUpstashStore({ url, token })
    },
    redis: async (driver) => {
      const { createRedisStore } = await import('../store/redis.ts')
      // The client begins to connect here; whoever made the Storage ends it.
      return createRedisStore((await driver.getInstance?.()) as RedisClient, {
        base: baseOf(driver),
      })
    },
  },
  generic: async (storage, driver) => {
    const { createUnstorageStore } = await import('../store/unstorage.ts')
    return createUnstorageStore(storage, { name: driver || undefined })
  },
}

async function openRedis({ href, base }: StorageUrl): Promise<Store> {
  const { createRedisStore } = await import('../store/redis.ts')
  return createRedisStore(withoutBase(href), { base })
}

async function openPostgres({ href, base }: StorageUrl): Promise<Store> {
  const { createPostgresStore } = await import('../store/postgres.ts')
  return createPostgresStore(withoutBase(href), { base })
}

/** The database is open here; whoever made the Storage closes it. */
async function openDenoKv(driver: DriverLike): Promise<Store> {
  const { createDenoKvStore } = await import('../store/deno-kv.ts')
  return createDenoKvStore((await driver.getInstance?.()) as DenoKv, { base: baseOf(driver) })
}

/** By its dialect. The table that the driver would use is left alone. */
async function openDatabase(driver: DriverLike): Promise<Store> {
  const database = (await driver.getInstance?.()) as Database
  const file = database.dialect === 'sqlite' && fileOf(await database.getInstance())
  if (file) {
    const { createSqliteStore } = await import('../store/sqlite.ts')
    return createSqliteStore(file)
  }
  const is = `db0's ${database.dialect} connector shares one client, which loses commits`
  const expected =
    database.dialect === 'postgresql' ? 'a postgres: URL or a pg.Pool' : 'another store'
  throw refusal('open a store', is, expected, 'unsupported-by-store')
}

/** What of a db0 database leads to its file. */
interface Database {
  readonly dialect: string
  getInstance(): unknown
}

/** Each of the SQLite clients has a name of its own for it. */
function fileOf(client: unknown): string | null | undefined {
  const sqlite = client as {
    location?(): string | null
    readonly name?: string
    readonly filename?: string
  }
  return sqlite.location?.() ?? sqlite.filename ?? sqlite.name
}

/** The URL as its client knows it. */
function withoutBase(href: string): string {
  return href.replace(/([?&])base=[^&]*(&|$)/, (_, before, after) => (after === '&' ? before : ''))
}

/** What of the client of `@upstash/redis` is borrowed. */
interface UpstashClient {
  readonly client: {
    readonly baseUrl: string
    readonly headers: { readonly authorization: string }
  }
}

function environment(name: string): string {
  const value = process.env[name]
  if (value) return value
  throw refusal('open a store', `${name} is not set`, 'it in the environment')
}

/** The prefix that the user gave the driver, if any. */
function baseOf({ options }: DriverLike): string | undefined {
  return (options as { readonly base?: string } | undefined)?.base || undefined
}

async function openFolder({ options }: DriverLike): Promise<Store> {
  const { createFsStore } = await import('../store/fs.ts')
  return createFsStore((options as { readonly base: string }).base)
}
