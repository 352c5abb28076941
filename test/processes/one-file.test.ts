import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { JobQueueService } from '../../src/main.ts'
import { end, type Runtime, readRuns, startWorker } from './workers.ts'

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

const SUBJECTS: readonly { on: string; url: string; jobs: number; runtimes: readonly Runtime[] }[] =
  [
    { on: 'sqlite', url: 'sqlite:', jobs: 5_000, runtimes: ['node', 'node'] },
    { on: 'deno-kv', url: 'deno-kv:', jobs: 1_500, runtimes: ['node', 'deno'] },
  ]

test.each(SUBJECTS)(
  'two processes on one file of $on: each of $jobs jobs runs once',
  {
    timeout: 120_000,
  },
  async ({ url, jobs, runtimes }) => {
    const storage = url + join(folder, 'jobs')
    const log = join(folder, 'runs.log')
    const { service, settled } = await onlooker(storage)
    const workers = await Promise.all(
      runtimes.map((runtime) => startWorker(storage, log, 30_000, runtime)),
    )
    await service.queue('count')?.addMany(Array.from({ length: jobs }, () => ({ data: 0 })))
    await until(async () => (await settled()) === jobs)
    await Promise.all(workers.map((worker) => end(worker, 'SIGTERM')))
    const { runs } = readRuns(log)
    expect(runs.size).toBe(jobs)
    expect([...runs.values()].every((n) => n === 1)).toBe(true)
    expect((await service.counts()).get('count')?.COMPLETED).toBe(jobs)
    await service.close()
  },
)
