/** The stores of the runtimes that have files: Node, Deno and Bun. */
import { createMemoryStore, type Store } from '../../src/main.ts'
import { refusal } from '../../src/refusal.ts'
import type { DenoKv } from '../store/deno-kv.ts'
import type { RedisClient } from '../store/redis.ts'
import { baseOf, type DriverLike, type StoreKinds } from './open-store.ts'
import type { Environment } from './setup.ts'
import type { StorageUrl } from './storage-url.ts'
import { upstash } from './upstash.ts'

// Loaded when asked for, so that an app needs only the packages of the store that it uses.
export function localStores(env: Environment): StoreKinds {
  const { schemes, drivers } = upstash(env)
  return {
    schemes: { ...LOCAL_SCHEMES, ...schemes },
    drivers: { ...LOCAL_DRIVERS, ...drivers },
    generic: async (storage, driver) => {
      const { createUnstorageStore } = await import('../store/unstorage.ts')
      return createUnstorageStore(storage, { name: driver || undefined })
    },
  }
}

const LOCAL_SCHEMES: StoreKinds['schemes'] = {
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
}

const LOCAL_DRIVERS: StoreKinds['drivers'] = {
  fs: openFolder,
  'fs-lite': openFolder,
  'deno-kv': openDenoKv,
  'deno-kv-node': openDenoKv,
  db0: openDatabase,
  redis: async (driver, client) => {
    const { createRedisStore } = await import('../store/redis.ts')
    // It has begun to connect; whoever made the Storage ends it.
    return createRedisStore(client as RedisClient, { base: baseOf(driver) })
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
async function openDenoKv(driver: DriverLike, database: unknown): Promise<Store> {
  const { createDenoKvStore } = await import('../store/deno-kv.ts')
  return createDenoKvStore(database as DenoKv, { base: baseOf(driver) })
}

/** By its dialect. The table that the driver would use is left alone. */
async function openDatabase(_driver: DriverLike, given: unknown): Promise<Store> {
  const database = given as Database
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

async function openFolder({ options }: DriverLike): Promise<Store> {
  const { createFsStore } = await import('../store/fs.ts')
  return createFsStore((options as { readonly base: string }).base)
}
