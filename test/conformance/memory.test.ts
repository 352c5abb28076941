import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { registerStoreSuite, storeCases } from '../../src/testing/main.ts'
import { memorySubject } from './subjects.ts'

describe('memory', async () => {
  for (const seed of [1, 2, 3]) {
    const runner = { test: it, skip: it.skip }
    await registerStoreSuite(`seed ${seed}`, storeCases, memorySubject(seed), assert, runner)
  }
})
