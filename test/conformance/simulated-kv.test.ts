import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { registerStoreSuite, storeCases } from '../../src/testing/main.ts'
import { simulatedKVSubject } from './subjects.ts'

describe('Cloudflare KV, simulated', async () => {
  for (const seed of [1, 2, 3]) {
    const subject = simulatedKVSubject(seed)
    await registerStoreSuite(`seed ${seed}`, storeCases, subject, assert, {
      test: it,
      skip: it.skip,
    })
  }
})
