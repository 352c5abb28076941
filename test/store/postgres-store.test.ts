import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPostgresStore } from '../../adapters/store/postgres.ts'
import type { Store } from '../../src/main.ts'
import { PostgresServer, postgresMissing } from '../support/postgres-server.ts'

describe.skipIf(postgresMissing !== null)(`the PostgreSQL store ${postgresMissing ?? ''}`, () => {
  let server: PostgresServer
  beforeAll(async () => {
    if (postgresMissing === null) server = await PostgresServer.start()
  })
  afterAll(() => server?.close())

  const add = (store: Store, key: string, at = 7): Promise<(string | null)[]> =>
    store.commit([[{ key, expect: null, place: 'r/x', score: 0, head: '' }]], {
      wake: [{ channel: 'q', at }],
    })

  /** Adds until one is heard, which none is before the connection listens. */
  async function untilHeard(store: Store, heard: readonly number[], name: string): Promise<void> {
    const before = heard.length
    for (let i = 0; heard.length === before; i++) {
      await add(store, `${name}${i}`).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  test('sixteen at once make the tables once', async () => {
    const stores = Array.from({ length: 16 }, () =>
      createPostgresStore(server.url, { base: 'rivals' }),
    )
    const versions = await Promise.all(stores.map((store, i) => add(store, `k${i}`)))
    expect(versions.flat()).not.toContain(null)
    await Promise.all(stores.map((store) => store.close()))
  })

  test('a pool of one connection commits and hears, and stays open', async () => {
    const pool = new pg.Pool({ connectionString: server.url, max: 1 })
    const store = createPostgresStore(pool, { base: 'pooled' })
    const heard: number[] = []
    store.subscribe?.('q', (at) => heard.push(at))
    await untilHeard(store, heard, 'k')
    expect(heard[0]).toBe(7)
    await store.close()
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await pool.end()
  })

  test('whoever hears is told to look after a restart, and hears again', async () => {
    const store = createPostgresStore(server.url, { base: 'restarted' })
    const heard: number[] = []
    const told = Promise.withResolvers<void>()
    store.subscribe?.('q', (at) => {
      heard.push(at)
      // Nobody knows what was not heard: zero is long past.
      if (at === 0) told.resolve()
    })
    await untilHeard(store, heard, 'before')
    server.stop('immediate')
    server.start()
    await told.promise
    await untilHeard(store, heard, 'after')
    expect(heard.at(-1)).toBe(7)
    await store.close()
  })

  test('a statement that takes too long is given up by the server too', async () => {
    const blocker = new pg.Client(server.url)
    await blocker.connect()
    const store = createPostgresStore(server.url, { base: 'slow', timeoutMs: 200 })
    await add(store, 'k')
    await blocker.query('begin; lock table slow_records')
    await expect(add(store, 'late')).rejects.toMatchObject({ code: '57014' })
    await blocker.query('commit')
    expect((await store.read({ get: ['late'] })).got).toEqual([null])
    await blocker.end()
    await store.close()
  })

  test('a commit that PostgreSQL undoes to end a deadlock is made again', async () => {
    const store = createPostgresStore(server.url, { base: 'crossed' })
    const [[a], [b]] = [await add(store, 'a'), await add(store, 'b')]
    const rival = new pg.Client(server.url)
    await rival.connect()
    // The rival is patient, so that the store is who is undone.
    await rival.query(`set deadlock_timeout = '1min'`)
    await rival.query(`begin; select 1 from crossed_records where key = 'b' for update`)
    const committed = store.commit([
      [
        { key: 'a', expect: a as string, score: 1 },
        { key: 'b', expect: b as string, score: 1 },
      ],
    ])
    const waiting = `select count(*)::int as n from pg_stat_activity
      where wait_event_type = 'Lock' and query like '%crossed_commit_2%'`
    const watcher = new pg.Client(server.url)
    await watcher.connect()
    while ((await watcher.query(waiting)).rows[0].n !== 1);
    await rival.query(`select 1 from crossed_records where key = 'a' for update`)
    await rival.query('commit')
    expect(await committed).not.toContain(null)
    await Promise.all([rival.end(), watcher.end(), store.close()])
  })

  test('a claim and a settlement read no more rows, however many were added since the start', async () => {
    const JOBS = 2_000
    const store = createPostgresStore(server.url, { base: 'grown' })
    const line = Array.from({ length: JOBS }, (_, score) => ({ key: `j/${score}`, score }))
    for (let i = 0; i < JOBS; i += 100) {
      const units = line
        .slice(i, i + 100)
        .map((put) => [{ ...put, expect: null, place: 'r/x', head: '', parts: { data: '1' } }])
      expect(await store.commit(units)).not.toContain(null)
    }
    const claim = { from: ['r/y', 'r/x'], into: 'l/x', score: 9, stamp: 's', parts: ['data'] }
    for (let done = 0; done < JOBS; done += 100) {
      const taken = (await store.take?.({ ...claim, limit: 100 })) ?? []
      expect(taken.map(({ key }) => key)).toEqual(
        line.slice(done, done + 100).map(({ key }) => key),
      )
      const units = taken.map(({ key, version }) => [
        { key, expect: version, place: 's/x', score: 1 },
      ])
      expect(await store.commit(units)).not.toContain(null)
    }
    await store.close()
    const watcher = new pg.Client(server.url)
    await watcher.connect()
    const figures = async () =>
      (
        await watcher.query(
          `select sum(n_tup_ins)::int as inserted, sum(n_tup_upd)::int as updated,
            sum(seq_tup_read)::int as scanned, sum(idx_tup_fetch)::int as found
          from pg_stat_user_tables where relname ~ '^grown_'`,
        )
      ).rows[0]
    // A server process tells the last of what it did when it ends.
    let told = await figures()
    while (told.inserted < 2 * JOBS || told.updated < 2 * JOBS) told = await figures()
    await watcher.end()
    expect(told.scanned).toBe(0)
    expect(told.found).toBeLessThan(10 * JOBS)
  })

  test('a base that cannot begin the name of a table is refused', () => {
    expect(() => createPostgresStore(server.url, { base: 'x"; drop' })).toThrow(
      'Cannot open PostgreSQL: base is "x"; drop", expected a-z, 0-9 and "_", 40 at most',
    )
  })
})
