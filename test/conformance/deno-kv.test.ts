import assert from 'node:assert/strict'
import { join } from 'node:path'
import { openKv } from '@deno/kv'
import { createStorage } from 'unstorage'
import denoKvNode from 'unstorage/drivers/deno-kv-node'
import { afterAll, describe, it } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { createDenoKvStore, type DenoKv, type DenoKvAtomic } from '../../adapters/store/deno-kv.ts'
import type { Store } from '../../src/store/store.ts'
import { registerStoreSuite, type StoreSubject, storeCases } from '../../src/testing/main.ts'
import { denoKvSubject, keepFolder, removeDenoKvFolders } from './deno-kv-subject.ts'

const runner = { test: it, skip: it.skip }

describe('deno-kv', async () => {
  for (const seed of [1, 2, 3]) {
    await registerStoreSuite(`seed ${seed}`, storeCases, denoKvSubject(seed), assert, runner)
  }

  const replaying = handedInSubject(4, async (path) => {
    const kv = replayed(await openKv(path))
    return { store: createDenoKvStore(kv), end: async () => kv.close() }
  })
  await registerStoreSuite('each commit sent twice', storeCases, replaying.subject, assert, runner)

  const through = handedInSubject(5, async (path) => {
    const storage = createStorage({ driver: denoKvNode({ path, base: 'app' }) })
    return { store: await openStore(storage), end: () => storage.dispose() }
  })
  await registerStoreSuite('unstorage driver', storeCases, through.subject, assert, runner)

  afterAll(async () => {
    await Promise.all([replaying.end(), through.end()])
    removeDenoKvFolders()
  })
})

interface HandedIn {
  readonly store: Store
  readonly end: () => Promise<void>
}

/** Stores on databases that someone else has opened, and closes. */
function handedInSubject(
  seed: number,
  openOn: (path: string) => Promise<HandedIn>,
): { subject: StoreSubject; end(): Promise<void> } {
  const folder = keepFolder()
  let files = 0
  const paths = new Map<Store, string>()
  const ends: (() => Promise<void>)[] = []
  const open = async (path: string): Promise<Store> => {
    const { store, end } = await openOn(path)
    ends.push(end)
    paths.set(store, path)
    return store
  }
  const subject: StoreSubject = {
    open: () => open(join(folder, `${++files}.kv`)),
    second: (store) => open(paths.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(paths.get(store) as string)
    },
    seed,
    scale: 8,
  }
  return { subject, end: async () => void (await Promise.all(ends.map((end) => end()))) }
}

/** A database on whose way every commit loses its first answer, and is sent again. */
function replayed(kv: DenoKv): DenoKv {
  return {
    getMany: (keys) => kv.getMany(keys),
    list: (span, options) => kv.list(span, options),
    close: () => kv.close(),
    atomic: () => {
      const tries = [kv.atomic(), kv.atomic()] as const
      const both =
        <Args extends unknown[]>(act: (one: DenoKvAtomic, ...args: Args) => unknown) =>
        (...args: Args): void =>
          tries.forEach((one) => void act(one, ...args))
      return {
        check: both((one, ...checks) => one.check(...checks)),
        set: both((one, ...entry) => one.set(...entry)),
        delete: both((one, key) => one.delete(key)),
        sum: both((one, key, by) => one.sum(key, by)),
        commit: async () => {
          await tries[0].commit()
          return tries[1].commit()
        },
      }
    },
  }
}
