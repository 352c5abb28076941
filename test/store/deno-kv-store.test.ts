import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { openKv } from '@deno/kv'
import { createStorage } from 'unstorage'
import denoKvNode from 'unstorage/drivers/deno-kv-node'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { createDenoKvStore, type DenoKv } from '../../adapters/store/deno-kv.ts'
import type { Clock } from '../../src/clock.ts'
import { HEAD_BYTES_MAX, type Put, type Store } from '../../src/store/store.ts'
import { systemClock } from '../../src/system.ts'
import { KvServer } from '../support/kv-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
let files = 0
const newFile = (): string => join(folder, `${++files}.kv`)
const ends: (() => unknown)[] = []
const open = (...args: Parameters<typeof createDenoKvStore>): Store => {
  const store = createDenoKvStore(...args)
  ends.unshift(() => store.close())
  return store
}
/** A database that is handed in. */
const openRaw = async (path: string): Promise<DenoKv> => {
  const kv = await openKv(path)
  ends.push(() => kv.close())
  return kv
}
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const created = (key: string, more: Partial<Put> = {}): Put => {
  return { key, expect: null, head: '', place: 'r/x', score: 0, ...more }
}
const tags = (count: number, length: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i}`.padEnd(length, '.'), i]))
const LONG = 'long '.repeat(200_000)

async function textOf(store: Store, key: string): Promise<string | undefined> {
  const { got } = await store.read({ get: [key], parts: ['data'] })
  return got[0]?.parts?.['data']
}

/** How many entries of each kind the file holds, without those that expire. */
async function entriesIn(path: string): Promise<Record<string, number>> {
  const kv = await openKv(path)
  const kinds: Record<string, number> = {}
  for await (const { key } of kv.list({ prefix: ['{wherry}'] })) {
    const kind = String(key[1])
    if (kind !== 'w') kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  kv.close()
  return kinds
}

/** The database, and what happens before its commits: they are numbered from 1. */
function watched(kv: DenoKv, before: (commit: number) => unknown): DenoKv {
  let commits = 0
  return {
    getMany: (keys) => kv.getMany(keys),
    list: (span, options) => kv.list(span, options),
    close: () => kv.close(),
    atomic: () => {
      const operation = kv.atomic()
      const commit = operation.commit.bind(operation)
      return Object.assign(operation, {
        commit: async () => {
          await before(++commits)
          return commit()
        },
      })
    },
  }
}

/** Two hours from now. */
const later: Clock = { ...systemClock, now: () => Date.now() + 7_200_000 }

describe('the limits', () => {
  const path = newFile()

  test('the largest unit of the longest parts is committed; of one byte more nothing is written', async () => {
    const store = open(path)
    const { unitPuts, unitBytes, partBytes } = store.limits
    let left = unitBytes
    const unit = Array.from({ length: unitPuts }, (_, i) => {
      const put = created(`j/${i}`, { head: 'h'.repeat(HEAD_BYTES_MAX) })
      left -= put.key.length + HEAD_BYTES_MAX
      return put
    }).map((put) => {
      const bytes = Math.min(partBytes, left)
      left -= bytes
      return { ...put, parts: { data: 'p'.repeat(bytes) } }
    })
    expect(left).toBe(0)
    const over = unit.map((put, i) => (i === 0 ? { ...put, key: `${put.key}+` } : put))
    await expect(store.commit([[created('other')], over])).rejects.toThrow(/unitBytes/)
    expect(await entriesIn(path)).toEqual({})
    const [version] = await store.commit([unit])
    expect(version).toMatch(/./)
    const { got } = await store.read({ get: unit.map(({ key }) => key), parts: ['data'] })
    expect(got.map((record) => record?.parts?.['data']?.length)).toEqual(
      unit.map(({ parts }) => parts.data.length),
    )
  })

  test.each([
    {
      what: 'expectations',
      unit: [
        created('a'),
        ...Array.from({ length: 10 }, (_, i) => ({ key: `n${i}`, expect: null })),
      ],
    },
    {
      what: 'bytes of keys, places and tags',
      unit: Array.from({ length: 8 }, (_, i) =>
        created(`j/${i}`.padEnd(512, '.'), { tags: tags(20, 60) }),
      ),
    },
    {
      what: 'mutations',
      unit: [
        created('a', {
          tags: tags(1_000, 1),
        }),
      ],
    },
    { what: 'bytes without its parts', unit: [created('a', { stamp: 's'.repeat(65_536) })] },
  ])('a unit with too many $what is refused before anything is written', async ({ what, unit }) => {
    const own = newFile()
    const store = open(own)
    const commit = store.commit([[created('other')], unit])
    await expect(commit).rejects.toThrow(TypeError)
    await expect(commit).rejects.toThrow(what)
    expect(await entriesIn(own)).toEqual({})
  })
})

describe('long texts', () => {
  test('leave nothing behind when they are replaced, removed or dropped', async () => {
    const path = newFile()
    const store = open(path)
    const [first] = await store.commit([[created('a', { parts: { data: LONG, log: LONG } })]])
    expect((await entriesIn(path))['c']).toBe(32)
    const parts = { data: `${LONG}!`, log: null }
    const [second] = await store.commit([[{ key: 'a', expect: first as string, parts }]])
    expect(await textOf(store, 'a')).toBe(`${LONG}!`)
    expect(await entriesIn(path)).toEqual({ r: 1, p: 1, n: 1, c: 16 })
    await store.commit([[{ key: 'a', expect: second as string, drop: true }]])
    expect(await entriesIn(path)).toEqual({ n: 1 })
  })

  test('leave nothing behind when their unit loses', async () => {
    const path = newFile()
    const store = open(path)
    await store.commit([[created('a')]])
    const before = await entriesIn(path)
    expect(await store.commit([[created('a', { parts: { data: LONG } })]])).toEqual([null])
    expect(await entriesIn(path)).toEqual(before)
  })

  test('of a writer that died are deleted an hour later, by the next who writes some', async () => {
    const path = newFile()
    const dying = open(
      watched(await openRaw(path), (commit) => {
        if (commit === 3) throw new Error('killed')
      }),
    )
    await expect(dying.commit([[created('a', { parts: { data: LONG } })]])).rejects.toThrow(
      'killed',
    )
    expect(await entriesIn(path)).toEqual({ c: 12, o: 1 })
    await open(path).commit([[created('b', { parts: { data: LONG } })]])
    expect((await entriesIn(path))['o']).toBe(1)
    await open(path, { clock: later }).commit([[created('c', { parts: { data: LONG } })]])
    expect(await entriesIn(path)).toEqual({ r: 2, p: 2, n: 1, c: 32 })
  })

  test('of a writer that stood still and is taken for dead: it fails, and says why', async () => {
    const path = newFile()
    const standing = Promise.withResolvers<void>()
    const going = Promise.withResolvers<void>()
    const slow = open(
      watched(await openRaw(path), (commit) => {
        if (commit !== 4) return
        standing.resolve()
        return going.promise
      }),
    )
    const commit = slow.commit([[created('a', { parts: { data: LONG } })]])
    await standing.promise
    // It goes on when its texts are deleted, and the list of them is still there.
    const sweeping = watched(await openRaw(path), async () => {
      if ((await entriesIn(path))['c'] !== undefined) return
      going.resolve()
      await commit.catch(() => {})
    })
    const sweeper = open(sweeping, { clock: later })
    await sweeper.commit([[created('b', { parts: { data: LONG } })]])
    await expect(commit).rejects.toThrow('texts of a commit were deleted')
    expect(await textOf(sweeper, 'a')).toBeUndefined()
    expect(await textOf(sweeper, 'b')).toBe(LONG)
    expect(await entriesIn(path)).toEqual({ r: 1, p: 1, n: 1, c: 16 })
  })

  test('that are replaced while they are read are read again', async () => {
    const path = newFile()
    const writer = open(path)
    const [first] = await writer.commit([[created('a', { parts: { data: LONG } })]])
    const kv = await openRaw(path)
    let reads = 0
    const getMany: DenoKv['getMany'] = async (keys) => {
      if (++reads === 2) {
        const parts = { data: 'short' }
        await writer.commit([[{ key: 'a', expect: first as string, parts }]])
      }
      return kv.getMany(keys)
    }
    const reader = open({ ...watched(kv, () => {}), getMany })
    expect(await textOf(reader, 'a')).toBe('short')
  })
})

describe('versions', () => {
  test('are not issued again after a backup was restored', async () => {
    const [path, backup] = [newFile(), newFile()]
    const issued: string[] = []
    const change = async (expected: string | null): Promise<string | null> => {
      const store = createDenoKvStore(path)
      const put = expected === null ? created('a') : { key: 'a', expect: expected, head: 'x' }
      const [version = null] = await store.commit([[put]])
      await store.close()
      if (version !== null) issued.push(version)
      return version
    }
    const first = await change(null)
    copyFileSync(path, backup)
    const lost = await change(first)
    for (let i = 0; i < 20; i++) {
      copyFileSync(backup, path)
      await change(first)
      expect(await change(lost)).toBeNull()
    }
    expect(new Set(issued).size).toBe(22)
  })
})

describe('a file that another process has locked', () => {
  /** Locks the file until its input ends. */
  const LOCKER = `
    const database = new (require('node:sqlite').DatabaseSync)(process.argv[1])
    database.exec('begin immediate')
    process.stdout.write('locked')
    process.stdin.resume().on('end', () => process.exit())`

  async function lock(path: string): Promise<() => Promise<void>> {
    const child = spawn(process.execPath, ['-e', LOCKER, path])
    await once(child.stdout, 'data')
    return async () => {
      const exited = once(child, 'exit')
      child.stdin.end()
      await exited
    }
  }

  test('is waited for, but not for ever', async () => {
    const path = newFile()
    const store = open(path, { timeoutMs: 400 })
    await store.commit([[created('a')]])
    const tried = Promise.withResolvers<void>()
    const kv = watched(await openRaw(path), (commit) => {
      if (commit === 3) tried.resolve()
    })
    const unlock = await lock(path)
    // It is the database that waits, or we do.
    await expect(store.commit([[created('b')]])).rejects.toThrow(/for 400 ms|in 400 ms/)
    const waiting = open(kv).commit([[created('c')]])
    await tried.promise
    await unlock()
    expect(await waiting).toEqual([expect.any(String)])
    const { got } = await store.read({ get: ['a', 'c'] })
    expect(got.map((record) => record !== null)).toEqual([true, true])
  })
})

describe('a server', () => {
  const serve = async (losesEvery?: number): Promise<KvServer> => {
    const server = await KvServer.on(newFile(), { ...(losesEvery && { losesEvery }) })
    process.env['DENO_KV_ACCESS_TOKEN'] = server.token
    ends.push(() => server.close())
    return server
  }

  test('whose answers are lost has committed: a commit that was sent again says so', async () => {
    const server = await serve(2)
    const store = open(server.url)
    const [first] = await store.commit([[created('a')]])
    const [second] = await store.commit([[{ key: 'a', expect: first as string, head: 'x' }]])
    const dropped = await store.commit([[{ key: 'a', expect: second as string, drop: true }]])
    expect([first, second, dropped[0]]).not.toContain(null)
    expect(await store.commit([[{ key: 'a', expect: second as string, head: 'y' }]])).toEqual([
      null,
    ])
    expect(server.answersLost).toBeGreaterThanOrEqual(3)
    const { got, counts } = await store.read({ get: ['a'], counts: ['r/x'] })
    expect([got, counts]).toEqual([[null], [0]])
  })

  test('that does not answer is not waited for', async () => {
    const server = await serve()
    const store = open(server.url, { timeoutMs: 300 })
    await store.commit([[created('a')]])
    server.fallSilent()
    await expect(store.commit([[created('b')]])).rejects.toThrow('No answer in 300 ms')
    await expect(store.read({ get: ['a'] })).rejects.toThrow('No answer in 300 ms')
  })
})

test('a database that is handed in stays open, and unstorage does not see what lies in it', async () => {
  const storage = createStorage({ driver: denoKvNode({ path: newFile(), base: 'app' }) })
  ends.push(() => storage.dispose())
  const store = await openStore(storage)
  expect([store.name, store.guarantee, store.clock]).toEqual(['deno-kv', 'atomic', 'local'])
  await storage.setItem('r:a', 'mine')
  await store.commit([[created('a')]])
  await store.close()
  expect(await storage.getKeys()).toEqual(['r:a'])
  expect(await storage.getItem('r:a')).toBe('mine')
})

test('a Deno.Kv fits by its type', { timeout: 60_000 }, async () => {
  const file = join(folder, 'types.ts')
  const store = join(import.meta.dirname, '../../adapters/store/deno-kv.ts')
  writeFileSync(
    file,
    `/// <reference lib="deno.ns" />
    /// <reference lib="deno.unstable" />
    import { createDenoKvStore } from '${pathToFileURL(store)}'
    createDenoKvStore(await Deno.openKv())`,
  )
  const deno = join(import.meta.dirname, '../../node_modules/.bin/deno')
  await promisify(execFile)(deno, ['check', file], { cwd: import.meta.dirname })
})

test('what cannot be opened is refused by name', async () => {
  expect(() => createDenoKvStore('x.kv', { base: 'a{b}' })).toThrow('base is "a{b}"')
  expect(() => createDenoKvStore('x.kv', { base: '' })).toThrow('base is ""')
  const store = await openStore('deno-kv:')
  await expect(store.read({})).rejects.toMatchObject({
    code: 'input-invalid',
    message: expect.stringContaining('deno-kv:./jobs.kv'),
  })
})

test('a file is on the clock of its machine, and in memory there is but one process', async () => {
  expect(open(newFile()).clock).toBe('store')
  expect(open('').clock).toBe('local')
  expect(open(':memory:').guarantee).toBe('process')
})
