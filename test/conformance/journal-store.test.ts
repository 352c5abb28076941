import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, test } from 'vitest'
import { openJournalStore } from '../../examples/store/journal-store.ts'
import { type Job, JobQueueService, type Store } from '../../src/main.ts'
import { registerStoreSuite, type StoreSubject, storeCases } from '../../src/testing/main.ts'

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const paths = new Map<Store, string>()
async function open(path: string): Promise<Store> {
  const store = await openJournalStore(path)
  paths.set(store, path)
  return store
}

let opened = 0
const subject: StoreSubject = {
  open: () => open(join(folder, `${++opened}.journal`)),
  reopen: async (store) => {
    await store.close()
    return open(paths.get(store) as string)
  },
  // Every commit waits for the disk.
  scale: 10,
}

describe('the store of docs/writing-a-store.md', async () => {
  await registerStoreSuite('journal', storeCases, subject, assert, { test: it, skip: it.skip })
})

test('a line that a crash has torn is nothing; all before it stands', async () => {
  const path = join(folder, 'torn.journal')
  const store = await openJournalStore(path)
  const put = { key: 'j/a', expect: null, place: 'r/x', score: 1, head: 'whole' }
  await store.commit([[put]])
  await store.close()
  appendFileSync(path, '[{"key":"j/b","version":"v","pla')
  const again = await openJournalStore(path)
  const { got } = await again.read({ get: ['j/a', 'j/b'] })
  expect(got.map((record) => record?.head)).toEqual(['whole', undefined])
  await again.close()
})

test('jobs run on it', async () => {
  const jobs = new JobQueueService({ storage: openJournalStore(join(folder, 'jobs.journal')) })
  const queue = await jobs.createQueue({
    name: 'double',
    process: (job: Job<number>) => job.data * 2,
  })
  await jobs.start()
  expect(await (await queue.add(21)).wait()).toBe(42)
  await jobs.close()
})
