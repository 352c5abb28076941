import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createStorage, prefixStorage } from 'unstorage'
import nothing from 'unstorage/drivers/null'
import { describe, it } from 'vitest'
import { createFsStore } from '../../adapters/store/fs.ts'
import type { Put, Store } from '../../src/store/store.ts'
import { createUnstorageStore, type StorageLike } from '../../src/store/unstorage-store.ts'
import { FakeClock } from '../../src/testing/main.ts'

function created(key: string, more: Partial<Put> = {}): Put {
  return { key, expect: null, place: 'r/one', score: 0, ...more }
}

async function put(store: Store, one: Put): Promise<string> {
  const [version] = await store.commit([[one]])
  assert.ok(version, `the put of "${one.key}" was refused`)
  return version
}

/** A storage that holds calls back until the test lets them go. */
class HeldStorage implements StorageLike {
  readonly calls: string[] = []
  readonly #storage = createStorage()
  readonly #held: (() => void)[] = []
  #holds: (call: string) => boolean = () => false
  #arrived: () => void = () => {}

  /** Holds back calls that begin so. */
  hold(start = ''): void {
    this.#holds = (call) => call.startsWith(start)
  }

  /** Resolves when so many calls are held. */
  async holding(count: number): Promise<void> {
    while (this.#held.length < count) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
      })
    }
  }

  release(): void {
    this.#holds = () => false
    for (const go of this.#held.splice(0)) go()
  }

  getItem(key: string): Promise<unknown> {
    return this.#pass(`get ${key}`, () => this.#storage.getItem(key))
  }

  setItem(key: string, value: string): Promise<void> {
    return this.#pass(`set ${key}`, () => this.#storage.setItem(key, value))
  }

  removeItem(key: string): Promise<void> {
    return this.#pass(`remove ${key}`, () => this.#storage.removeItem(key))
  }

  getKeys(base: string): Promise<string[]> {
    return this.#pass('list', () => this.#storage.getKeys(base))
  }

  async #pass<T>(call: string, act: () => Promise<T>): Promise<T> {
    this.calls.push(call)
    await new Promise<void>((resolve) => {
      if (!this.#holds(call)) return resolve()
      this.#held.push(resolve)
      this.#arrived()
    })
    return act()
  }
}

describe('a store on unstorage', () => {
  it('does nothing before its first use', async () => {
    const storage = new HeldStorage()
    const store = createUnstorageStore(storage)
    store.subscribe?.('one', () => {})
    assert.deepEqual([storage.calls, store.operations().reads], [[], 0])
    await store.close()
    assert.deepEqual(storage.calls, [])
  })

  it('shows a change when it is in the storage, and not before', async () => {
    const storage = new HeldStorage()
    const store = createUnstorageStore(storage)
    const version = await put(store, created('a', { head: 'old' }))
    storage.hold()
    const commit = store.commit([[{ key: 'a', expect: version, head: 'new' }]])
    await storage.holding(1)
    assert.equal((await store.read({ get: ['a'] })).got[0]?.head, 'old')
    storage.release()
    await commit
    assert.equal((await store.read({ get: ['a'] })).got[0]?.head, 'new')
  })

  it('writes what is committed in one moment side by side', async () => {
    const storage = new HeldStorage()
    const store = createUnstorageStore(storage)
    await store.read({})
    await put(store, created('first'))
    storage.hold()
    const commits = ['a', 'b', 'c'].map((key) => store.commit([[created(key)]]))
    await storage.holding(3)
    storage.release()
    await Promise.all(commits)
  })

  it('lets one of two units win of which each checks what the other writes', async () => {
    const store = createUnstorageStore(createStorage())
    for (let i = 0; i < 20; i++) {
      const [a, b] = [`a${i}`, `b${i}`]
      const outcomes = await Promise.all([
        store.commit([[created(a), { key: b, expect: null }]]),
        store.commit([[created(b), { key: a, expect: null }]]),
      ])
      assert.equal(outcomes.flat().filter((version) => version !== null).length, 1)
    }
  })

  it('holds a check to what a unit of the same moment writes', async () => {
    const store = createUnstorageStore(createStorage())
    const old = await put(store, created('guard'))
    const outcomes = await Promise.all([
      store.commit([[{ key: 'guard', expect: old, score: 1 }]]),
      store.commit([[created('a'), { key: 'guard', expect: old }]]),
    ])
    assert.deepEqual(
      outcomes.flat().map((version) => version !== null),
      [true, false],
    )
  })

  it('does not write a record that a unit under way has checked', async () => {
    const storage = new HeldStorage()
    const store = createUnstorageStore(storage)
    const old = await put(store, created('guard'))
    storage.hold('set')
    const commits = [
      store.commit([[created('a'), { key: 'guard', expect: old }]]),
      store.commit([[{ key: 'guard', expect: old, score: 1 }]]),
    ]
    const before = storage.calls.length
    await storage.holding(1)
    assert.equal(storage.calls.slice(before).filter((call) => call.startsWith('set')).length, 1)
    storage.release()
    assert.ok((await Promise.all(commits)).flat().every((version) => version !== null))
  })

  it('reads a record whole while its part is replaced', async () => {
    const storage = new HeldStorage()
    const store = createUnstorageStore(storage)
    const version = await put(store, created('a', { head: 'old', parts: { data: 'old' } }))
    storage.hold('get wherry:p:')
    const reading = store.read({ get: ['a'], parts: ['data'] })
    await storage.holding(1)
    await put(store, { key: 'a', expect: version, head: 'new', parts: { data: 'new' } })
    // What a round leaves behind is gone when the next but one begins.
    for (const key of ['b', 'c']) await put(store, created(key))
    assert.ok(storage.calls.some((call) => call.startsWith('remove wherry:p:')))
    storage.release()
    const { got } = await reading
    assert.deepEqual([got[0]?.head, got[0]?.parts], ['new', { data: 'new' }])
  })

  it('waits in close() for what is under way, refuses what comes later, and leaves the storage open', async () => {
    const storage = new HeldStorage()
    const store = createUnstorageStore(storage)
    await store.read({})
    storage.hold()
    const commit = store.commit([[created('a')]])
    await storage.holding(1)
    let closed = false
    const closing = store.close().then(() => {
      closed = true
    })
    await assert.rejects(store.commit([[created('b')]]), { code: 'store-unavailable' })
    await assert.rejects(store.read({}), { code: 'store-unavailable' })
    assert.ok(!closed)
    storage.release()
    await Promise.all([commit, closing])
    const again = createUnstorageStore(storage)
    assert.notEqual((await again.read({ get: ['a'] })).got[0], null)
  })

  it('leaves alone what is not its own', async () => {
    const storage = createStorage()
    const others = { 'wherry2:h:a': 'x', wherry: 'y', 'other:h:b': 'z', 'wherry:note': 'n' }
    for (const [key, value] of Object.entries(others)) await storage.setItem(key, value)
    const stores = [createUnstorageStore(storage), createUnstorageStore(storage, { base: 'w' })]
    for (const store of stores) {
      const version = await put(store, created('a', { parts: { data: 'd' } }))
      await put(store, { key: 'a', expect: version, drop: true })
      await store.close()
    }
    for (const [key, value] of Object.entries(others))
      assert.equal(await storage.getItem(key), value)
    assert.deepEqual(
      (await storage.getKeys()).sort(),
      [...Object.keys(others), 'w:owner', 'wherry:owner'].sort(),
    )
  })

  it('works in a prefix and on a mount', async () => {
    const storage = createStorage()
    storage.mount('jobs', createStorage().getMount('').driver)
    for (const one of [prefixStorage(storage, 'jobs'), prefixStorage(storage, 'more')]) {
      await put(createUnstorageStore(one), created('a', { head: 'h' }))
      const { got } = await createUnstorageStore(one).read({ get: ['a'] })
      assert.equal(got[0]?.head, 'h')
    }
  })

  it('opens at a later use when the first could not read the storage', async () => {
    const storage = createStorage()
    const before = createUnstorageStore(storage)
    await put(before, created('a'))
    await before.close()
    let down = true
    const getItem = async (key: string): Promise<unknown> => {
      if (down) throw new Error('The connection was refused')
      return storage.getItem(key)
    }
    const store = createUnstorageStore({ ...storage, getItem })
    await assert.rejects(store.read({}), { message: 'The connection was refused' })
    down = false
    assert.notEqual((await store.read({ get: ['a'] })).got[0], null)
  })
})

describe('a storage that cannot hold jobs', () => {
  it('is refused when it has no way to write', () => {
    const readOnly: StorageLike = { getItem: () => null, getKeys: () => [] }
    assert.throws(() => createUnstorageStore(readOnly), {
      code: 'input-invalid',
      message: /read-only/,
    })
  })

  it('is refused at the first use when it does not keep what it is given', async () => {
    const store = createUnstorageStore(createStorage({ driver: nothing() }))
    await assert.rejects(store.read({}), {
      code: 'store-unavailable',
      message: /does not give back/,
    })
  })

  it('is refused when it returns its errors, as the drivers for files do', async () => {
    const storage = createStorage()
    const failure = Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })
    const store = createUnstorageStore({ ...storage, getItem: async () => failure })
    await assert.rejects(store.read({}), { code: 'store-unavailable', message: /EMFILE/ })
  })

  it('is refused when a later version of wherry has written to it', async () => {
    const storage = createStorage()
    await storage.setItem('wherry:h:a', 'w2:whatever')
    const store = createUnstorageStore(storage)
    await assert.rejects(store.read({}), { code: 'record-corrupt', message: /its form is 2/ })
    assert.equal(await storage.getItem('wherry:h:a'), 'w2:whatever')
  })

  it('is left by a store when another has opened it', async () => {
    const storage = createStorage()
    const clock = new FakeClock()
    const first = createUnstorageStore(storage, { clock })
    await put(first, created('a'))
    const second = createUnstorageStore(storage)
    await put(second, created('b'))
    await clock.advance(1_000)
    await assert.rejects(first.commit([[created('c')]]), {
      code: 'store-unavailable',
      message: /another store/,
    })
    await assert.rejects(first.read({}), { code: 'store-unavailable' })
    await put(second, created('d'))
  })

  it('is told apart from one whose part is damaged, and only that part is refused', async () => {
    const storage = createStorage()
    const store = createUnstorageStore(storage)
    await put(store, created('a', { parts: { data: 'd' } }))
    const [part = ''] = await storage.getKeys('wherry:p')
    await storage.setItem(part, 'w1:')
    await assert.rejects(store.read({ get: ['a'], parts: ['data'] }), { code: 'record-corrupt' })
    assert.equal((await store.read({ get: ['a'] })).got[0]?.key, 'a')
  })

  it('cannot be had under a base that a key could not begin with', () => {
    for (const base of ['', 'a:b', 'a/b', '..', 'a?b', 'a$b']) {
      assert.throws(() => createUnstorageStore(createStorage(), { base }), {
        code: 'input-invalid',
      })
    }
  })
})

describe('a store on files', () => {
  it('has short names in lower case, whatever the keys', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
    const store = createFsStore(folder)
    const keys = ['K'.repeat(store.limits.keyBytes), 'con', 'a?b', 'A/../B', 'a$']
    for (const key of keys) await put(store, created(key, { parts: { Data: 'd' } }))
    await store.close()
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      assert.match(name, /^[a-z0-9./\\]{1,60}$/)
    }
    rmSync(folder, { recursive: true })
  })
})
