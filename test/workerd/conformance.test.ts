import { env } from 'cloudflare:workers'
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { createCloudflareKVStore, type KVBinding } from '../../adapters/store/cloudflare-kv.ts'
import {
  registerStoreSuite,
  type StoreSubject,
  seededRandom,
  storeCases,
} from '../../src/testing/main.ts'
import { EagerClock, memorySubject, simulatedKVSubject } from '../conformance/subjects.ts'

/**
 * The real binding of workerd. Its KV is strongly consistent and takes any number of writes a second,
 * so the store need not be waited for.
 */
function kvSubject(seed: number): StoreSubject {
  const { JOBS } = env as unknown as { readonly JOBS: KVBinding }
  const bases = new Map<object, string>()
  let opened = 0
  const open = (base: string) => {
    const store = createCloudflareKVStore(JOBS, {
      base,
      clock: new EagerClock(),
      random: seededRandom(opened),
    })
    bases.set(store, base)
    return store
  }
  return {
    open: async () => open(`suite${++opened}`),
    second: async (store) => open(bases.get(store) as string),
    reopen: async (store) => open(bases.get(store) as string),
    seed,
    scale: 20,
  }
}

const runner = { test: it, skip: it.skip }
describe('in workerd', async () => {
  await registerStoreSuite('memory', storeCases, memorySubject(5), assert, runner)
  await registerStoreSuite('simulated KV', storeCases, simulatedKVSubject(5), assert, runner)
  await registerStoreSuite('KV binding', storeCases, kvSubject(5), assert, runner)
})
