import { env } from 'cloudflare:workers'
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import type { PartsBinding } from '../../adapters/store/durable-object/kv-parts.ts'
import {
  createDurableObjectStore,
  type ObjectNamespace,
} from '../../adapters/store/durable-object.ts'
import type { Store } from '../../src/main.ts'
import { registerStoreSuite, type StoreSubject, storeCases } from '../../src/testing/main.ts'

const { QUEUE, PARTS } = env as unknown as {
  readonly QUEUE: ObjectNamespace
  readonly PARTS: PartsBinding
}

function subject(seed: number, parts?: PartsBinding): StoreSubject {
  const bases = new Map<Store, string>()
  let opened = 0
  const open = (base: string): Store => {
    const store = createDurableObjectStore(QUEUE, { base, parts })
    bases.set(store, base)
    return store
  }
  return {
    open: async () => open(`suite-${seed}-${parts ? 'kv' : ''}-${++opened}`),
    second: async (store) => open(bases.get(store) as string),
    reopen: async (store) => open(bases.get(store) as string),
    seed,
    scale: 10,
  }
}

const runner = { test: it, skip: it.skip }
describe('durable object', async () => {
  await registerStoreSuite('seed 1', storeCases, subject(1), assert, runner)
  await registerStoreSuite('seed 2', storeCases, subject(2), assert, runner)
  await registerStoreSuite('with parts in KV', storeCases, subject(3, PARTS), assert, runner)
})
