import type { JobContext } from '../../src/job-queue-strategy.ts'
import { type Job, JobQueueService, type Logger, WherryError } from '../../src/main.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { type FaultRates, faultyStore, LOSSY, STORM } from './faulty-store.ts'
import { ForgetfulStore } from './forgetful-store.ts'
import { takingStore } from './taking-store.ts'
import { Watch } from './watch.ts'
import { Process, World } from './world.ts'

export interface Setting {
  readonly rates: FaultRates
  readonly jobs: number
  readonly workers: number
  /** Whether the store has a `take`. */
  readonly takes: boolean
  /** Whether the store fails over now and then, and forgets its last commits. */
  readonly forgets: boolean
  /** Hears of every write of a job. */
  readonly trace?: ((line: string) => void) | undefined
}

/** Small worlds cost less, and more of what happens in them happens to the same job. */
const SIZES: readonly Pick<Setting, 'jobs' | 'workers'>[] = [
  { jobs: 25, workers: 3 },
  { jobs: 4, workers: 4 },
  { jobs: 12, workers: 2 },
  { jobs: 6, workers: 3 },
]

/** Every fourth seed has a bad network alone, where more can be asked. */
export function settingOf(seed: number): Setting {
  const forgets = seed % 4 === 1
  const rates = seed % 4 === 0 ? LOSSY : STORM
  const size = SIZES[Math.floor(seed / 8) % SIZES.length] as Pick<Setting, 'jobs' | 'workers'>
  return { rates, ...size, takes: seed % 8 < 4, forgets }
}

export interface Report {
  readonly seed: number
  /** Why the run failed; null: every invariant held. */
  readonly broken: string | null
  readonly steps: number
  readonly writes: number
  readonly crashes: number
  readonly handlerRuns: number
  /** Where every chance fell: two runs of one seed must have the same. */
  readonly trace: number
}

const QUEUES = ['mail', 'image'] as const
const LEASE_MS = 1_000
const MAX_LAPSES = 5
/** Things go wrong for at least so long, and until the last job was added. */
const FAULTY_MS = 8_000
const QUIET_MS = 600_000
/** When every commit has been applied whose caller was told that it had failed. */
const LATE_MS = 5_000

interface HandlerRun {
  readonly id: string
  readonly queueName: string
  readonly process: Process
  readonly context: JobContext
}

/** One run of the real queue code, with everything going wrong that can. */
export async function simulate(seed: number, setting: Setting = settingOf(seed)): Promise<Report> {
  return new Simulation(seed, setting).run()
}

class Simulation {
  readonly #seed: number
  readonly #setting: Setting
  readonly #world: World
  readonly #watch: Watch
  readonly #runs = new Set<HandlerRun>()
  readonly #added = new Set<string>()
  readonly #removed = new Set<string>()
  readonly #trace: number[] = []
  #crashes = 0
  #handlerRuns = 0
  #clientsAtWork = 0

  constructor(seed: number, setting: Setting) {
    this.#seed = seed
    this.#setting = setting
    this.#world = new World(seed)
    const now = (): number => this.#world.now
    const clock = { now, monotonic: now }
    const { random } = this.#world
    const forgetful = new ForgetfulStore(clock, random)
    const base = setting.forgets ? forgetful : createMemoryStore({ clock, random })
    const store = setting.takes ? takingStore(base) : base
    if (setting.forgets) this.#failOverLater(forgetful)
    this.#watch = new Watch(store, {
      maxLapses: MAX_LAPSES,
      lapsesHappen: setting.rates !== LOSSY,
      trace: setting.trace,
    })
  }

  #failOverLater(store: ForgetfulStore): void {
    const world = this.#world
    world.after(world.between(1_000, 12_000), () => {
      if (!world.faults) return
      store.failOver(world.between(0, 10))
      void this.#watch.resume()
      this.#failOverLater(store)
    })
  }

  async run(): Promise<Report> {
    const world = this.#world
    for (let i = 0; i < this.#setting.workers; i++) this.#startWorker(`worker ${i}`)
    this.#clientsAtWork++
    void this.#client().finally(() => this.#clientsAtWork--)
    await world.runUntil(
      () =>
        this.#watch.broken !== null ||
        (this.#clientsAtWork === 0 && world.now > world.startedAt + FAULTY_MS),
      QUIET_MS,
    )
    world.faults = false
    // A pause may still come late, and a failover may have forgotten that it ended.
    world.after(LATE_MS, () => void this.#resumeAll())
    const allSettled = (): boolean =>
      this.#watch.records().every(({ life }) => life.settledAt !== null && life.lease === null)
    const done = await world.runUntil(() => this.#watch.broken !== null || allSettled(), QUIET_MS)
    if (!done) this.#watch.fail(`not settled in the end: ${this.#unsettled()}`)
    // What the store forgot, nobody can ask of the queue.
    for (const id of this.#setting.forgets ? [] : this.#added) {
      if (!this.#watch.record(id) && !this.#removed.has(id))
        this.#watch.fail(`${id}: added, and lost`)
    }
    const { broken, writes } = this.#watch
    const trace = this.#trace.reduce((sum, value) => (sum * 31 + value) >>> 0, 7)
    return {
      seed: this.#seed,
      broken,
      steps: world.steps,
      writes,
      crashes: this.#crashes,
      handlerRuns: this.#handlerRuns,
      trace,
    }
  }

  #unsettled(): string {
    return this.#watch
      .records()
      .filter(({ life }) => life.settledAt === null || life.lease !== null)
      .map(
        ({ id, life }) =>
          `${id} ${life.state} (lease ${life.lease?.until}, now ${this.#world.now})`,
      )
      .join(', ')
  }

  #service(process: Process): JobQueueService {
    const { world } = process
    const crash = (): void => this.#crash(process)
    return new JobQueueService({
      storage: faultyStore(this.#watch.store, process, this.#setting.rates, crash),
      clock: process.clock,
      random: world.random,
      logger: this.#logger(process),
      leaseMs: LEASE_MS,
      concurrency: process.slots,
      claimAheadMs: [0, 10, 5_000][world.between(0, 2)],
      gracefulShutdownTimeout: 500,
      maxLapses: MAX_LAPSES,
      backoffStrategy: (_queueName, attempts) => 100 * attempts,
    })
  }

  #startWorker(name: string): void {
    const process = new Process(this.#world, name)
    const service = this.#service(process)
    for (const queue of QUEUES) {
      void service.createQueue({
        name: queue,
        process: (job: Job, context) => this.#handle(job, context, process),
      })
    }
    // The store may not answer at the start; whoever runs the process tries again.
    void this.#insist(() => process.alive && service.start())
    const livesMs = this.#world.between(4_000, 30_000)
    this.#world.after(livesMs, () => void this.#redeploy(service, process, name))
  }

  /** Now and then a worker is stopped in good order, and its successor started. */
  async #redeploy(service: JobQueueService, process: Process, name: string): Promise<void> {
    if (!process.alive || !this.#world.faults) return
    await service.stop().catch(() => {})
    if (!process.alive) return
    process.alive = false
    this.#startWorker(`${name}'`)
  }

  #crash(process: Process): void {
    if (!process.alive) return
    process.alive = false
    this.#crashes++
    for (const run of this.#runs) if (run.process === process) this.#runs.delete(run)
    if (process.name === 'client') return
    this.#world.after(this.#world.between(50, 3_000), () => this.#startWorker(`${process.name}*`))
  }

  async #handle(job: Job, context: JobContext, process: Process): Promise<unknown> {
    const world = this.#world
    const id = String(job.id)
    // What a dead process still does in this moment, nobody sees.
    if (!process.alive) return new Promise(() => {})
    this.#handlerRuns++
    this.#checkStart(id, context, process)
    this.#checkSlots(job.queueName, process)
    const run: HandlerRun = { id, queueName: job.queueName, process, context }
    this.#runs.add(run)
    try {
      const style = world.random()
      const ms = style < 0.9 ? world.between(1, 300) : world.between(800, 4_000)
      if (world.chance(0.3)) job.setProgress(50)
      await this.#work(ms, process, style < 0.95 ? context.signal : undefined)
      this.#trace.push(world.now - world.startedAt, context.fence % 1_000)
      if (world.chance(0.2)) throw new Error('It went wrong')
      return { done: id }
    } finally {
      this.#runs.delete(run)
    }
  }

  /** Handlers that were told to stop may be given up, and then count no more. */
  #checkSlots(queueName: string, process: Process): void {
    const beside = [...this.#runs].filter(
      (run) =>
        run.process === process && run.queueName === queueName && !run.context.signal.aborted,
    )
    if (beside.length < process.slots) return
    this.#watch.fail(`${process.name}: ran ${beside.length + 1} jobs in ${process.slots} slots`)
  }

  /** What must hold at the moment a handler begins, if its process believes what it was told. */
  #checkStart(id: string, { fence, signal }: JobContext, process: Process): void {
    if (signal.aborted) this.#watch.fail(`${id}: began with its signal aborted`)
    // A holder whose claim was forgotten goes on until it hears of that.
    if (this.#setting.forgets) return
    const record = this.#watch.record(id)
    if (record === undefined)
      this.#watch.fail(`${id}: began with fence ${fence}, and there is no such job`)
    else if (record.life.fence !== fence)
      this.#watch.fail(
        `${id}: began with fence ${fence} in ${process.name}, the newest is ${record.life.fence}`,
      )
    for (const other of this.#runs) {
      if (other.id !== id || other.process.hangs || other.context.signal.aborted) continue
      this.#watch.fail(
        `${id}: began in ${process.name} with fence ${fence} while ${other.process.name} ran it with ${other.context.fence}`,
      )
    }
  }

  #work(ms: number, process: Process, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#world.after(ms, resolve, process)
      signal?.addEventListener('abort', () => reject(signal.reason))
    })
  }

  /** Adds jobs, and cancels, retries, removes, pauses as its mood is. Never crashes. */
  async #client(): Promise<void> {
    const world = this.#world
    const process = new Process(world, 'client')
    const service = new JobQueueService({
      storage: faultyStore(
        this.#watch.store,
        process,
        { ...this.#setting.rates, crash: 0, hang: 0 },
        () => {},
      ),
      clock: process.clock,
      random: world.random,
      logger: this.#logger(process),
    })
    const queues = await Promise.all(QUEUES.map((name) => service.createQueue({ name })))
    for (let i = 0; i < this.#setting.jobs; i++) {
      await world.sleep(world.between(0, 600))
      const queue = queues[world.between(0, 1)]
      const own = world.chance(0.3) ? { id: `own-${world.between(0, 5)}` } : {}
      await this.#quietly(
        async () => {
          const job = await queue?.add(
            { i, at: new Date(world.now) },
            {
              retries: world.between(0, 2),
              priority: world.chance(0.2) ? world.between(-3, 3) : 0,
              ...(world.chance(0.3) && { delay: world.between(0, 3_000) }),
              ...(world.chance(0.2) && { timeout: world.between(50, 500) }),
              ...own,
            },
          )
          if (job) this.#added.add(String(job.id))
          if (job) this.#removed.delete(String(job.id))
        },
        'id' in own,
      )
      await this.#mischief(service)
    }
    for (const queue of queues) await this.#insist(() => queue.resume())
  }

  async #resumeAll(): Promise<void> {
    const service = new JobQueueService({ storage: this.#watch.store })
    for (const name of QUEUES) await (await service.createQueue({ name })).resume()
  }

  async #mischief(service: JobQueueService): Promise<void> {
    const world = this.#world
    const records = this.#watch.records()
    const target = records[world.between(0, Math.max(0, records.length - 1))]?.id
    const mood = world.random()
    if (target === undefined) return
    if (mood < 0.15) await this.#quietly(() => service.cancelJob(target))
    else if (mood < 0.25) {
      this.#watch.retryable.add(target)
      await this.#quietly(() => service.retryJob(target))
    } else if (mood < 0.32) {
      this.#removed.add(target)
      await this.#quietly(() => service.removeJob(target))
    } else if (mood < 0.36) {
      const queue = service.queue(QUEUES[world.between(0, 1)] as string)
      await this.#quietly(() => queue?.pause())
      await world.sleep(world.between(0, 2_000))
      await this.#insist(() => queue?.resume())
    }
  }

  /** A client's call may be refused, or fail for want of a store. */
  async #quietly(act: () => unknown, idMayBeTaken = false): Promise<void> {
    try {
      await act()
    } catch (error) {
      const expected = error instanceof WherryError && (error.code !== 'id-taken' || idMayBeTaken)
      if (!expected) this.#watch.fail(`a client was told: ${error}`)
    }
  }

  async #insist(act: () => unknown): Promise<void> {
    for (;;) {
      try {
        await act()
        return
      } catch {
        await this.#world.sleep(100)
      }
    }
  }

  #logger(process: Process): Logger {
    const told = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      this.#trace.push(message.length)
      const { jobId, fence, error } = fields
      if (
        !this.#setting.forgets &&
        message.includes('lease was lost') &&
        this.#watch.settledBy(String(jobId), Number(fence))
      ) {
        // A cancelled job's lease may be ended by whoever finds it lapsed; that is no false alarm.
        const record = this.#watch.record(String(jobId))
        if (record?.life.fence === fence && record?.life.state === 'COMPLETED') {
          this.#watch.fail(
            `${jobId}: ${process.name} settled it with fence ${fence}, and was told that it had not`,
          )
        }
      }
      if (error !== undefined && !(error instanceof WherryError))
        this.#watch.fail(`${message}: ${error}`)
    }
    return { debug() {}, info() {}, warn: told, error: told }
  }
}
