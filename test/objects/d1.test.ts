import { env } from 'cloudflare:workers'
import assert from 'node:assert/strict'
import { describe, expect, it, test } from 'vitest'
import { createD1Store, type D1Binding } from '../../adapters/store/d1.ts'
import { type Job, JobQueueService, silentLogger } from '../../src/main.ts'
import { registerStoreSuite, type StoreSubject, storeCases } from '../../src/testing/main.ts'

const { DB } = env as unknown as { readonly DB: D1Binding }

function subject(seed: number): StoreSubject {
  const bases = new Map<object, string>()
  let opened = 0
  const open = (base: string) => {
    const store = createD1Store(DB, { base })
    bases.set(store, base)
    return store
  }
  return {
    open: async () => open(`suite_${seed}_${++opened}`),
    second: async (store) => open(bases.get(store) as string),
    reopen: async (store) => open(bases.get(store) as string),
    seed,
    scale: 4,
  }
}

const runner = { test: it, skip: it.skip }
describe('D1', async () => {
  for (const seed of [1, 2, 3]) {
    await registerStoreSuite(`seed ${seed}`, storeCases, subject(seed), assert, runner)
  }
})

/** What add, claim and settle of a plain job write, indexes counted as D1 bills them. */
const ROWS_A_JOB = 8.2

/** The binding, watched: round trips, and rows that D1 says it wrote. */
function counting(): { binding: D1Binding; counted: { trips: number; rows: number } } {
  const counted = { trips: 0, rows: 0 }
  const binding: D1Binding = {
    prepare: (sql) => DB.prepare(sql),
    async batch(statements) {
      counted.trips++
      const answers = await DB.batch(statements)
      for (const { meta } of answers as { meta?: { rows_written?: number } }[]) {
        counted.rows += meta?.rows_written ?? 0
      }
      return answers
    },
  }
  return { binding, counted }
}

test('a service adds to D1 and drains it, fifty jobs in a few round trips', async () => {
  const { binding, counted } = counting()
  const store = createD1Store(binding, { base: 'service' })
  const jobs = new JobQueueService({ storage: store, logger: silentLogger, concurrency: 50 })
  const queue = await jobs.createQueue<number, number>({
    name: 'double',
    process: async (job: Job<number>) => 2 * job.data,
  })
  await store.read({})
  counted.rows = 0
  counted.trips = 0
  const added = await queue.addMany(Array.from({ length: 50 }, (_, i) => ({ data: i })))
  const report = await jobs.drain({ budgetMs: 10_000 })
  expect(report).toMatchObject({ completed: 50, stoppedBecause: 'empty' })
  const found = await jobs.findManyById(added.map(({ id }) => String(id)))
  expect(found.map(({ result }) => result)).toEqual(Array.from({ length: 50 }, (_, i) => 2 * i))
  expect(counted.trips).toBeLessThan(20)
  expect(counted.rows / 50).toBeLessThanOrEqual(ROWS_A_JOB)
  await jobs.close()
})

test('two commits that D1 refuses as one leave nothing behind', async () => {
  const store = createD1Store(DB, { base: 'torn' })
  await store.read({})
  // What comes last in the batch fails, so what came before in it is undone.
  await DB.batch([DB.prepare('drop table torn_parts')])
  const put = { key: 'a', expect: null, place: 'r/x', score: 0, head: '', parts: { data: 'd' } }
  await assert.rejects(store.commit([[put]]))
  expect((await store.read({ get: ['a'] })).got).toEqual([null])
})
