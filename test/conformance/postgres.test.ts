import assert from 'node:assert/strict'
import { afterAll, describe, it } from 'vitest'
import { registerStoreSuite, storeCases } from '../../src/testing/main.ts'
import { PostgresServer, postgresMissing } from '../support/postgres-server.ts'
import { closePostgresStores, postgresSubject } from './postgres-subject.ts'

describe.skipIf(postgresMissing !== null)(`postgres ${postgresMissing ?? ''}`, async () => {
  if (postgresMissing !== null) return it.skip(postgresMissing)
  const server = await PostgresServer.start()
  afterAll(async () => {
    await closePostgresStores()
    server.close()
  })
  for (const seed of [1, 2, 3]) {
    const subject = postgresSubject(server.url, seed)
    await registerStoreSuite(`seed ${seed}`, storeCases, subject, assert, {
      test: it,
      skip: it.skip,
    })
  }
})
