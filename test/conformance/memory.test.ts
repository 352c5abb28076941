import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { registerStoreSuite, storeCases } from '../../src/testing/main.ts'

describe('memory store', async () => {
  for (const seed of [1, 2, 3]) {
    await registerStoreSuite(
      `seed ${seed}`,
      storeCases,
      { open: async () => createMemoryStore(), seed },
      assert,
      { test: it, skip: it.skip },
    )
  }
})
