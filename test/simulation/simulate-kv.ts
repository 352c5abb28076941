import { createCloudflareKVStore, type KVBinding } from '../../adapters/store/cloudflare-kv.ts'
import { type Job, JobQueueService, WherryError } from '../../src/main.ts'
import { SimulatedKV } from '../support/simulated-kv.ts'
import { Process, World } from './world.ts'

export interface KVReport {
  readonly seed: number
  /** Why the run failed; null: every invariant held. */
  readonly broken: string | null
  readonly steps: number
  readonly jobs: number
  readonly crashes: number
  readonly handlerRuns: number
  /** Runs of a job that had been settled, or was run elsewhere: allowed inside the window. */
  readonly duplicates: number
  /** The longest time from a settlement to a duplicate's begin, in ms. */
  readonly windowMs: number
  /** Writes that the platform refused because a rival's was a moment older. */
  readonly rivalsRefused: number
}

const LOCATIONS = ['CDG', 'SFO', 'NRT'] as const
const LAG_MS = 60_000
const FAULTY_MS = 600_000
const TICK_MS = 60_000

/** Workers on plain KV, with cron ticks that overlap, double and fail to come, and isolates that die. */
export async function simulateKV(seed: number): Promise<KVReport> {
  return new KVSimulation(seed).run()
}

interface Isolate {
  readonly process: Process
  readonly service: JobQueueService
}

interface Run {
  readonly process: Process
  readonly beganAt: number
  endedAt: number
}

class KVSimulation {
  readonly #seed: number
  readonly #world: World
  readonly #kv: SimulatedKV
  readonly #drainsOnAdd: boolean
  readonly #isolates = new Map<string, Isolate>()
  readonly #added = new Set<string>()
  readonly #runs = new Map<string, Run[]>()
  #broken: string | null = null
  #isolatesBorn = 0
  #crashes = 0
  #handlerRuns = 0
  #duplicates = 0
  #windowMs = 0

  constructor(seed: number) {
    this.#seed = seed
    this.#world = new World(seed)
    this.#drainsOnAdd = seed % 2 === 0
    const { random } = this.#world
    this.#kv = new SimulatedKV({ now: () => this.#world.now, random, lagMs: LAG_MS })
  }

  async run(): Promise<KVReport> {
    const world = this.#world
    void this.#requests()
    this.#ticks()
    await world.runUntil(
      () => this.#broken !== null || world.now > world.startedAt + FAULTY_MS,
      FAULTY_MS * 2,
    )
    world.faults = false
    const alone = (): boolean =>
      this.#kv.truth('wherry/live/').length + this.#kv.truth('wherry/later/').length === 0
    const done = await world.runUntil(() => this.#broken !== null || alone(), 3 * 3_600_000)
    if (!done)
      this.#fail(
        `not settled in the end: ${[...this.#kv.truth('wherry/live/'), ...this.#kv.truth('wherry/later/')]}`,
      )
    const settled = new Set(this.#kv.truth('wherry/done/').map((name) => name.split('/').at(-1)))
    for (const id of this.#added) if (!settled.has(id)) this.#fail(`${id}: added, and lost`)
    if (this.#kv.tooFast > 0)
      this.#fail(`${this.#kv.tooFast} writes came within a second of the last to their name`)
    return {
      seed: this.#seed,
      broken: this.#broken,
      steps: world.steps,
      jobs: this.#added.size,
      crashes: this.#crashes,
      handlerRuns: this.#handlerRuns,
      duplicates: this.#duplicates,
      windowMs: this.#windowMs,
      rivalsRefused: this.#kv.rivals,
    }
  }

  #fail(why: string): void {
    this.#broken ??= why
  }

  #isolate(location: string): Isolate {
    const known = this.#isolates.get(location)
    if (known?.process.alive) return known
    const process = new Process(this.#world, location, 40)
    const { random } = this.#world
    // What a predecessor wrote in its last moment, nobody here may know of.
    const writer = `${location} ${++this.#isolatesBorn}`
    const store = createCloudflareKVStore(this.#faulty(process, this.#kv.at(location, writer)), {
      clock: process.clock,
      random,
    })
    const log = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      if (fields['error'] !== undefined && !(fields['error'] instanceof WherryError))
        this.#fail(`${message}: ${fields['error']}`)
    }
    const service = new JobQueueService({
      storage: store,
      clock: process.clock,
      random,
      concurrency: 2,
      logger: { debug() {}, info() {}, warn: log, error: log },
      backoffStrategy: () => 5_000,
    })
    service.attach({
      resident: false,
      ...(this.#drainsOnAdd && {
        onAdd: () => void service.drain({ only: 'own' }).catch(() => {}),
      }),
    })
    void service.createQueue({ name: 'mail', process: (job: Job) => this.#handle(job, process) })
    const isolate = { process, service }
    this.#isolates.set(location, isolate)
    return isolate
  }

  #ticks(): void {
    const world = this.#world
    const calm = !world.faults
    const times = calm ? 1 : world.chance(0.1) ? 0 : world.chance(0.3) ? 3 : 1
    for (let i = 0; i < times; i++) {
      const { service } = this.#isolate(LOCATIONS[world.between(0, 2)] as string)
      world.after(
        world.between(0, i * 50_000),
        () => void service.drain({ budgetMs: 25_000 }).catch(() => {}),
      )
    }
    world.after(TICK_MS, () => this.#ticks())
  }

  async #requests(): Promise<void> {
    const world = this.#world
    while (world.faults) {
      await world.sleep(world.between(100, 30_000))
      const { service } = this.#isolate(LOCATIONS[world.between(0, 2)] as string)
      const queue = service.queue('mail')
      const data = Array.from({ length: world.between(1, 3) }, (_, i) => ({
        data: { i },
        options: this.#options(),
      }))
      // A caller that is not answered knows nothing; one that is answered must not be deceived.
      queue?.addMany(data).then(
        (jobs) => {
          for (const { id } of jobs) this.#added.add(String(id))
        },
        () => {},
      )
    }
  }

  #options(): { retries: number; delay?: number } {
    const world = this.#world
    const style = world.random()
    const delay =
      style < 0.1
        ? world.between(1, 120_000)
        : style < 0.15
          ? world.between(3_600_001, 4_000_000)
          : 0
    return { retries: world.between(0, 2), ...(delay > 0 && { delay }) }
  }

  async #handle(job: Job, process: Process): Promise<string> {
    const world = this.#world
    const id = String(job.id)
    // What a dead process still does in this moment, nobody sees.
    if (!process.alive) return new Promise(() => {})
    this.#handlerRuns++
    const runs = this.#runs.get(id) ?? []
    this.#runs.set(id, runs)
    this.#checkDuplicate(id, runs)
    const run: Run = { process, beganAt: world.now, endedAt: Infinity }
    runs.push(run)
    await new Promise<void>(
      (resolve) => void world.after(world.between(1, 3_000), resolve, process),
    )
    run.endedAt = world.now
    if (world.chance(0.2)) throw new Error('It went wrong')
    return 'done'
  }

  /** A run beside another, or after a settlement, is a duplicate: only the window excuses it. */
  #checkDuplicate(id: string, runs: readonly Run[]): void {
    const world = this.#world
    const overlapped = runs.find(({ endedAt }) => endedAt > world.now)
    const settledAt = this.#settledAt(id)
    if (overlapped === undefined && settledAt === null) return
    this.#duplicates++
    const since =
      settledAt === null ? world.now - (overlapped?.beganAt ?? 0) : world.now - settledAt
    this.#windowMs = Math.max(this.#windowMs, since)
    if (since > WINDOW_MS)
      this.#fail(`${id}: ran again ${since} ms after it was begun elsewhere or settled`)
  }

  #settledAt(id: string): number | null {
    const stored = this.#kv.peek(`wherry/done/j/${id}`)
    return stored === null ? null : stored.at
  }

  /** A process's view of the namespace: calls take time, fail on either side, and the isolate may die. */
  #faulty(process: Process, kv: KVBinding): KVBinding {
    const { world } = process
    const call = <T>(apply: () => Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        const fate = world.faults ? world.random() : 1
        if (fate < 0.003) return this.#crash(process)
        world.after(world.between(1, 25), () => {
          if (fate < 0.01)
            return void world.after(5, () => reject(new Error('The network failed')), process)
          apply().then(
            (value) => {
              if (fate < 0.013) this.#crash(process)
              const answer =
                fate < 0.02 ? () => reject(new Error('The network failed')) : () => resolve(value)
              world.after(world.between(1, 25), answer, process)
            },
            (error) => world.after(5, () => reject(error), process),
          )
        })
      })
    return {
      getWithMetadata: (names) => call(() => kv.getWithMetadata(names)),
      put: (name, value, options) => call(() => kv.put(name, value, options)),
      delete: (name) => call(() => kv.delete(name)),
      list: (options) => call(() => kv.list(options)),
    }
  }

  #crash(process: Process): void {
    if (!process.alive) return
    process.alive = false
    this.#crashes++
    for (const run of [...this.#runs.values()].flat()) {
      if (run.process === process && run.endedAt === Infinity) run.endedAt = this.#world.now
    }
  }
}

/** Blind for a minute to a list, and then a minute more to the record behind it. */
const WINDOW_MS = 2 * LAG_MS
