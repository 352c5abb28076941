import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { JobQueueService } from '../../src/main.ts'
import { end, readRuns, startWorker } from './workers.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A service that adds and looks, and runs nothing itself. */
async function onlooker(
  storage: string,
): Promise<{ service: JobQueueService; settled(): Promise<number> }> {
  const service = new JobQueueService({ storage: openStore(storage) })
  await service.createQueue({ name: 'count' })
  const settled = async (): Promise<number> => {
    const counts = (await service.counts()).get('count')
    return (counts?.COMPLETED ?? 0) + (counts?.FAILED ?? 0) + (counts?.CANCELLED ?? 0)
  }
  return { service, settled }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 100))
}

test('two processes on one file: each of 5,000 jobs runs once', { timeout: 120_000 }, async () => {
  const storage = `sqlite:${join(folder, 'jobs.db')}`
  const log = join(folder, 'runs.log')
  const { service, settled } = await onlooker(storage)
  const workers = await Promise.all([
    startWorker(storage, log, 30_000),
    startWorker(storage, log, 30_000),
  ])
  await service.queue('count')?.addMany(Array.from({ length: 5_000 }, () => ({ data: 0 })))
  await until(async () => (await settled()) === 5_000)
  await Promise.all(workers.map((worker) => end(worker, 'SIGTERM')))
  const { runs } = readRuns(log)
  expect(runs.size).toBe(5_000)
  expect([...runs.values()].every((n) => n === 1)).toBe(true)
  expect((await service.counts()).get('count')?.COMPLETED).toBe(5_000)
  await service.close()
})
