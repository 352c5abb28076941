import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRedisStore } from '../../adapters/store/redis.ts'
import { type Job, JobQueueService, silentLogger } from '../../src/main.ts'
import type { Put, Store } from '../../src/store/store.ts'
import { FaultyProxy } from '../support/faulty-proxy.ts'
import { RedisServer, redisMissing } from '../support/redis-server.ts'

const JOBS = 1_000
const LEASE_MS = 1_500

describe.skipIf(redisMissing !== null)(`Redis under faults ${redisMissing ?? ''}`, () => {
  let server: RedisServer
  let proxy: FaultyProxy
  beforeAll(async () => {
    if (redisMissing !== null) return
    server = await RedisServer.start('--appendonly', 'yes', '--appendfsync', 'always')
    proxy = await FaultyProxy.to(server.port)
  })
  afterAll(async () => {
    await proxy?.close()
    await server?.close()
  })

  test('a restart, cut and half-open connections, lost answers: none lost, none settled twice', {
    timeout: 120_000,
  }, async () => {
    const run = new Run(server, proxy, 'faults')
    await run.begin()
    for (let i = 0; i < 4; i++) {
      await run.untilSettled(((i + 0.2) * JOBS) / 4)
      proxy.cut()
      await run.untilSettled(((i + 0.4) * JOBS) / 4)
      proxy.freeze()
      await run.untilSettled(((i + 0.6) * JOBS) / 4)
      proxy.loseAnswers(3)
      await run.untilSettled(((i + 0.8) * JOBS) / 4)
      await server.stop('SIGKILL')
      expect(await server.start()).toBe(true)
    }
    await run.untilSettled(JOBS)
    await run.end()
    expect(run.states()).toEqual({ COMPLETED: JOBS })
    expect(run.settledTwice).toEqual([])
    expect(run.fencesAreUnique).toBe(true)
    expect(run.resultsAreOfARun).toBe(true)
  })

  test('who waits for a job hears of one after its connection was cut or frozen', {
    timeout: 60_000,
  }, async () => {
    const store = createRedisStore(`redis://127.0.0.1:${proxy.port}`, {
      base: 'wakes',
      timeoutMs: 500,
    })
    const adder = createRedisStore(server.url, { base: 'wakes' })
    const heard: number[] = []
    let hear = (): void => {}
    store.subscribe?.('q', (at) => {
      heard.push(at)
      hear()
    })
    let number = 0
    /** Adds until it is heard: how often it had to. */
    const addUntilHeard = async (): Promise<void> => {
      const before = heard.length
      while (heard.length === before) {
        const next = new Promise<void>((resolve) => {
          hear = resolve
          setTimeout(resolve, 100)
        })
        const put = { key: `j/${number++}`, expect: null, place: 'r/x', score: 0, head: '' }
        await adder.commit([[put]], { wake: [{ channel: 'q', at: 7 }] })
        await next
      }
    }
    await addUntilHeard()
    proxy.cut()
    await addUntilHeard()
    proxy.freeze()
    await addUntilHeard()
    expect(new Set(heard)).toEqual(new Set([7]))
    await Promise.all([store.close(), adder.close()])
  })
})

test.skipIf(redisMissing !== null)('a Redis that evicts keys is refused, by name', async () => {
  const server = await RedisServer.start(
    ...['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'],
  )
  const jobs = new JobQueueService({ storage: createRedisStore(server.url) })
  const queue = await jobs.createQueue({ name: 'q' })
  await expect(queue.add(1)).rejects.toMatchObject({
    code: 'unsupported-by-store',
    message: expect.stringContaining('maxmemory-policy is allkeys-lru'),
  })
  await jobs.close()
  await server.close()
})

/** Jobs that a service runs over the proxy, and what became of them. */
class Run {
  readonly #service: JobQueueService
  readonly #adder: JobQueueService
  readonly #fences = new Map<string, number[]>()
  readonly #settlements = new Map<string, number>()
  readonly #jobs: Job[] = []
  #settled = 0
  #progress = (): void => {}

  constructor(server: RedisServer, proxy: FaultyProxy, base: string) {
    const options = { base, timeoutMs: 500 }
    const store = createRedisStore(`redis://127.0.0.1:${proxy.port}`, options)
    this.#service = new JobQueueService({
      storage: this.#counting(store),
      logger: silentLogger,
      concurrency: 20,
      leaseMs: LEASE_MS,
      maxLapses: 1_000,
    })
    this.#adder = new JobQueueService({ storage: createRedisStore(server.url, { base }) })
  }

  async begin(): Promise<void> {
    await this.#service.createQueue({
      name: 'count',
      process: async (job: Job<number>, { fence }) => {
        const id = String(job.id)
        this.#fences.set(id, [...(this.#fences.get(id) ?? []), fence])
        await new Promise((resolve) => setTimeout(resolve, job.data))
        return fence
      },
    })
    const queue = await this.#adder.createQueue<number, number>({ name: 'count' })
    await queue.addMany(Array.from({ length: JOBS }, (_, i) => ({ data: i % 20 })))
    await this.#service.start()
  }

  /** Waits until so many settlements were answered, or all are stored. */
  async untilSettled(count: number): Promise<void> {
    while (this.#settled < count) {
      await new Promise<void>((resolve) => {
        this.#progress = resolve
        setTimeout(resolve, 200)
      })
      const counts = (await this.#adder.counts().catch(() => null))?.get('count')
      this.#settled = Math.max(this.#settled, counts?.COMPLETED ?? 0)
    }
  }

  async end(): Promise<void> {
    await this.#service.close()
    const { items } = await this.#adder.findMany({ take: JOBS })
    this.#jobs.push(...items)
    await this.#adder.close()
  }

  states(): Record<string, number> {
    const states = Object.entries(Object.groupBy(this.#jobs, ({ state }) => state))
    return Object.fromEntries(states.map(([state, jobs]) => [state, jobs.length]))
  }

  get settledTwice(): string[] {
    return [...this.#settlements].filter(([, count]) => count > 1).map(([key]) => key)
  }

  get fencesAreUnique(): boolean {
    return [...this.#fences.values()].every((fences) => new Set(fences).size === fences.length)
  }

  get resultsAreOfARun(): boolean {
    return this.#jobs.every(({ id, result }) => this.#fences.get(String(id))?.includes(result))
  }

  /** The store, watched: which records it says were settled. */
  #counting(store: Store): Store {
    const commit = store.commit.bind(store)
    return Object.assign(store, {
      commit: async (...[units, hint]: Parameters<Store['commit']>) => {
        const versions = await commit(units, hint)
        units.forEach((unit, i) => {
          if (versions[i] !== null) this.#noteSettled(unit)
        })
        return versions
      },
    })
  }

  #noteSettled(unit: readonly Put[]): void {
    for (const { key, place } of unit) {
      if (!place?.startsWith('s/')) continue
      this.#settlements.set(key, (this.#settlements.get(key) ?? 0) + 1)
      this.#settled = Math.max(this.#settled, this.#settlements.size)
      this.#progress()
    }
  }
}
