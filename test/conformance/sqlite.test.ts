import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { registerStoreSuite, storeCases } from '../../src/testing/main.ts'
import { sqliteSubject } from './file-subjects.ts'

describe('sqlite', async () => {
  for (const seed of [1, 2, 3]) {
    const runner = { test: it, skip: it.skip }
    await registerStoreSuite(`seed ${seed}`, storeCases, sqliteSubject(seed), assert, runner)
  }
})
