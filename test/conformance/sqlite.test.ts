import assert from 'node:assert/strict'
import { afterAll, describe, it } from 'vitest'
import { registerStoreSuite, storeCases } from '../../src/testing/main.ts'
import { removeFolders, sqliteSubject } from './file-subjects.ts'

afterAll(removeFolders)

describe('sqlite', async () => {
  for (const seed of [1, 2, 3]) {
    const runner = { test: it, skip: it.skip }
    await registerStoreSuite(`seed ${seed}`, storeCases, sqliteSubject(seed), assert, runner)
  }
})
