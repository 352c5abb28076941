import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createStorage } from 'unstorage'
import memory from 'unstorage/drivers/memory'
import { afterAll, describe, it } from 'vitest'
import { createFsStore } from '../../adapters/store/fs.ts'
import type { Store } from '../../src/store/store.ts'
import { createUnstorageStore, type StorageLike } from '../../src/store/unstorage-store.ts'
import { registerStoreSuite, type StoreSubject, storeCases } from '../../src/testing/main.ts'

/** Stores on something that outlives them, which `make` makes. */
function subjectOf<T>(make: () => T, openOn: (kept: T) => Store): Unseeded {
  const keptBy = new Map<Store, T>()
  const open = (kept: T): Store => {
    const store = openOn(kept)
    keptBy.set(store, kept)
    return store
  }
  return {
    open: async () => open(make()),
    reopen: async (store) => {
      await store.close()
      return open(keptBy.get(store) as T)
    },
  }
}

/** Files on Windows and macOS: "A" and "a" are one name. */
function caseFoldingDriver(): StorageLike {
  const items = new Map<string, string>()
  return {
    getItem: (key) => items.get(key.toLowerCase()) ?? null,
    setItem: (key, value) => items.set(key.toLowerCase(), value),
    removeItem: (key) => items.delete(key.toLowerCase()),
    getKeys: () => [...items.keys()].map((key) => key.replaceAll(':', '\\')),
  }
}

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let folders = 0

function newFolder(): string {
  return join(folder, `${++folders}`)
}

type Unseeded = Omit<StoreSubject, 'seed'>

const SUBJECTS: [title: string, subject: Unseeded, seeds: number[]][] = [
  ['unstorage, memory', subjectOf(() => createStorage(), createUnstorageStore), [1, 2, 3]],
  ['unstorage, a bare driver', subjectOf(() => memory(), createUnstorageStore), [1]],
  ['unstorage, names that fold case', subjectOf(caseFoldingDriver, createUnstorageStore), [1]],
  ['fs', { ...subjectOf(newFolder, createFsStore), scale: 4 }, [1, 2, 3]],
]

for (const [title, subject, seeds] of SUBJECTS) {
  describe(title, async () => {
    for (const seed of seeds) {
      const runner = { test: it, skip: it.skip }
      await registerStoreSuite(`seed ${seed}`, storeCases, { ...subject, seed }, assert, runner)
    }
  })
}
