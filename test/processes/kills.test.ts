/**
 * Four worker processes, of which one is killed each half second. `WHERRY_LONG=1`: for 30 s over
 * 5,000 jobs instead of for 6 s over 1,200.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { JobQueueService, silentLogger } from '../../src/main.ts'
import { PostgresServer, postgresMissing } from '../support/postgres-server.ts'
import { RedisServer, redisMissing } from '../support/redis-server.ts'
import { end, type RunStart, type Runtime, readStarts, startWorker } from './workers.ts'

const LONG = process.env['WHERRY_LONG'] === '1'
const JOBS = LONG ? 5_000 : 1_200
const KILLS = LONG ? 60 : 12
const EVERY_MS = 500
const LEASE_MS = 1_000
/** Of the workers; where the store tells of jobs it counts for nothing. */
const POLL_MS = 50

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
let redis: RedisServer | null = null
let postgres: PostgresServer | null = null
beforeAll(async () => {
  redis = redisMissing === null ? await RedisServer.start('--appendonly', 'yes') : null
  postgres = postgresMissing === null ? await PostgresServer.start() : null
})
afterAll(async () => {
  await redis?.close()
  postgres?.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Subject {
  readonly on: string
  readonly missing: string | null
  readonly url: () => string
  /** What the workers run on, in turn. Default: Node. */
  readonly runtimes?: readonly Runtime[]
  /** What else goes wrong, at every fourth kill. */
  readonly fault?: () => void
}

const SUBJECTS: readonly Subject[] = [
  { on: 'sqlite', missing: null, url: () => `sqlite:${join(folder, 'jobs.db')}` },
  {
    on: 'deno-kv',
    missing: null,
    url: () => `deno-kv:${join(folder, 'jobs.kv')}`,
    runtimes: ['node', 'deno'],
  },
  { on: 'redis', missing: redisMissing, url: () => redis?.url ?? '' },
  { on: 'postgres', missing: postgresMissing, url: () => postgres?.url ?? '' },
  {
    on: 'postgres that crashes as well',
    missing: postgresMissing,
    url: () => `${postgres?.url}?base=crashing`,
    fault: () => {
      postgres?.stop('immediate')
      postgres?.start()
    },
  },
]

describe.each(SUBJECTS)('workers that are killed, on $on', (subject) => {
  const { on, missing, url, fault } = subject
  test('no job is lost or settled twice, and none waits longer than its lease', {
    timeout: 180_000,
  }, async ({ skip }) => {
    if (missing !== null) skip(missing)
    const log = join(folder, `${on}.log`)
    const service = new JobQueueService({ storage: openStore(url()), logger: silentLogger })
    const queue = await service.createQueue<number, number>({ name: 'count' })
    const data = (i: number): number => (LONG ? 40 + (i % 40) : 20 + (i % 40))
    const additions = Array.from({ length: JOBS }, (_, i) => ({ data: data(i) }))
    const jobs = await queue.addMany(additions)
    const { workers, killedAt } = await killSome(subject, log)
    const completed = async (): Promise<number | undefined> =>
      (await service.counts().catch(() => null))?.get('count')?.COMPLETED
    while ((await completed()) !== JOBS) await new Promise((resolve) => setTimeout(resolve, 100))
    await Promise.all(workers.map((worker) => end(worker, 'SIGTERM')))

    const starts = readStarts(log)
    const all = [...starts.values()].flat()
    expect(new Set(all.map(({ id, fence }) => `${id} ${fence}`)).size).toBe(all.length)
    const found = await service.findManyById(jobs.map(({ id }) => String(id)))
    expect(found.map(({ state }) => state)).toEqual(Array(JOBS).fill('COMPLETED'))
    for (const { id, result } of found) {
      const own = starts.get(String(id)) ?? []
      // Settled by its last run, and never run after it.
      expect(result).toBe(Math.max(...own.map(({ fence }) => fence)))
    }
    const waits = waitsAfterKills([...starts.values()], killedAt)
    expect(waits.length).toBeGreaterThan(0)
    // biome-ignore lint/suspicious/noConsole: the figure is for docs/guarantees.md
    console.log(`${on}: ${waits.length} jobs ran again, after ${Math.max(...waits)} ms at most`)
    if (!fault) expect(Math.max(...waits)).toBeLessThanOrEqual(LEASE_MS + POLL_MS + 1_000)
    await service.close()
  })
})

/** Starts four workers, and kills and replaces one after the other. */
async function killSome(
  { url, runtimes = ['node'], fault }: Subject,
  log: string,
): Promise<{ workers: ChildProcess[]; killedAt: Map<number, number> }> {
  let started = 0
  const start = (): Promise<ChildProcess> =>
    startWorker(url(), log, LEASE_MS, runtimes[started++ % runtimes.length])
  const workers = await Promise.all(Array.from({ length: 4 }, start))
  const killedAt = new Map<number, number>()
  for (let kills = 1; kills <= KILLS; kills++) {
    const killed = workers.shift() as ChildProcess
    killedAt.set(Number(killed.pid), Date.now())
    await end(killed, 'SIGKILL')
    if (kills % 4 === 0) fault?.()
    workers.push(await start())
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
  return { workers, killedAt }
}

/** From each kill to the next start of a job that the killed process was running, in ms. */
function waitsAfterKills(
  jobs: readonly (readonly RunStart[])[],
  killedAt: ReadonlyMap<number, number>,
): number[] {
  return jobs.flatMap((starts) =>
    starts.slice(1).flatMap(({ at }, i) => {
      const killed = killedAt.get(starts[i]?.pid ?? 0)
      return killed === undefined ? [] : [at - killed]
    }),
  )
}
