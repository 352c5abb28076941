import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { JobQueueService } from '../../src/main.ts'
import { RedisServer, redisMissing } from '../support/redis-server.ts'
import { end, readRuns, startWorker } from './workers.ts'

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
let redis: RedisServer | null = null
beforeAll(async () => {
  redis = redisMissing === null ? await RedisServer.start() : null
})
afterAll(async () => {
  await redis?.close()
  rmSync(folder, { recursive: true, force: true })
})

const LEASE_MS = 1_000
const JOBS = 40

describe.each([
  { on: 'sqlite', missing: null, url: () => `sqlite:${join(folder, 'jobs.db')}` },
  { on: 'redis', missing: redisMissing, url: () => redis?.url ?? '' },
])('a worker that stands still past its lease, on $on', ({ on, missing, url }) => {
  test('loses its jobs to another, and settles none of them when it goes on', {
    timeout: 60_000,
  }, async ({ skip }) => {
    if (missing !== null) skip(missing)
    const log = join(folder, `${on}.log`)
    const service = new JobQueueService({ storage: openStore(url()) })
    const queue = await service.createQueue<number, number>({ name: 'count' })
    const stopped = await startWorker(url(), log, LEASE_MS)
    // Longer than what is left of a lease when the worker is stopped, so that none is done then.
    const jobs = await queue.addMany(Array.from({ length: JOBS }, () => ({ data: 400 })))
    await until(async () => linesOf(log) >= 8)
    stopped.kill('SIGSTOP')
    const under = linesOf(log)
    const other = await startWorker(url(), log, LEASE_MS)
    await until(async () => [...readRuns(log).runs.values()].filter((n) => n > 1).length >= 8)
    stopped.kill('SIGCONT')
    await until(async () => (await service.counts()).get('count')?.COMPLETED === JOBS)
    await Promise.all([end(stopped, 'SIGTERM'), end(other, 'SIGTERM')])
    const { runs, fencesAreUnique } = readRuns(log)
    expect(fencesAreUnique).toBe(true)
    expect(under).toBeGreaterThanOrEqual(8)
    const found = await service.findManyById(jobs.map(({ id }) => String(id)))
    expect(found.map(({ state }) => state)).toEqual(Array(JOBS).fill('COMPLETED'))
    // What ran twice bears the later fence: the one that stood still was refused.
    for (const { id, result } of found) {
      expect(runs.has(String(id))).toBe(true)
      expect(result).toBe(Math.max(...fencesOf(log, String(id))))
    }
    await service.close()
  })
})

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20))
}

function lines(log: string): string[] {
  try {
    return readFileSync(log, 'utf8').trim().split('\n').filter(Boolean)
  } catch {
    return []
  }
}

function linesOf(log: string): number {
  return lines(log).length
}

function fencesOf(log: string, id: string): number[] {
  return lines(log)
    .filter((line) => line.startsWith(`${id} `))
    .map((line) => Number(line.split(' ')[1]))
}
