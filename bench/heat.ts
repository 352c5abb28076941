import process from 'node:process'
import { type Line, type Open, type Payload, payloadOf } from './contestant.ts'
import type { Cost } from './finding.ts'
import type { Ground } from './ground.ts'
import { Ledger } from './ledger.ts'
import { profiled } from './profiler.ts'

export interface HeatSetting {
  readonly open: Open
  readonly ground: Ground
  readonly url: string
  readonly jobs: number
  /** The file for a CPU profile. Default: none is made. */
  readonly profile?: string | undefined
}

/** Jobs of one call of `addMany`. */
const CHUNK = 1_000
/** A job that is not there by then is lost. */
const PATIENCE_MS = 120_000

/** One contestant's queue in this process, and the account of which jobs have run. */
export class Heat {
  readonly jobs: number
  readonly ledger: Ledger
  readonly line: Line
  readonly #ground: Ground
  readonly #profile: string | undefined
  #started = false

  private constructor({ jobs, ground, profile }: HeatSetting, ledger: Ledger, line: Line) {
    this.jobs = jobs
    this.#ground = ground
    this.#profile = profile
    this.ledger = ledger
    this.line = line
  }

  static async open(
    setting: HeatSetting,
    concurrency: number,
    onRun: (index: number) => void = () => {},
  ): Promise<Heat> {
    const ledger = new Ledger(setting.jobs)
    const line = await setting.open({
      url: setting.url,
      queueName: QUEUE_NAME,
      concurrency,
      run(index) {
        onRun(index)
        ledger.note(index)
      },
    })
    return new Heat(setting, ledger, line)
  }

  async start(): Promise<void> {
    this.#started = true
    await this.line.start()
  }

  *payloads(): Generator<Payload> {
    for (let index = 0; index < this.jobs; index++) yield payloadOf(index)
  }

  /** Adds all, in chunks, one after the other. */
  async addMany(): Promise<void> {
    const payloads = [...this.payloads()]
    for (let from = 0; from < this.jobs; from += CHUNK) {
      await this.line.addMany(payloads.slice(from, from + CHUNK))
    }
  }

  /** Adds all, one a call, so many calls at once. */
  async addEach(inFlight: number): Promise<void> {
    const payloads = this.payloads()
    await Promise.all(Array.from({ length: inFlight }, () => this.#addInTurn(payloads)))
  }

  /** Waits until each job has run. */
  async allRan(): Promise<void> {
    await inTime(this.ledger.all)
  }

  /** Lets what is left run, then holds the contestant to its promise: each job ran once, and completed. */
  async finish(): Promise<void> {
    if (!this.#started && this.ledger.missing > 0) await this.start()
    // Who fails the ledger is to say so, rather than that it took long.
    await this.allRan().catch(() => this.ledger.assertExact())
    await this.line.stop()
    this.ledger.assertExact()
    const unsettled = await this.line.unsettled()
    if (unsettled > 0)
      throw new Error(`${unsettled} of ${this.jobs} jobs ran and have not completed`)
    await this.line.close()
  }

  /** Does it, and answers what that took. */
  async cost(work: () => Promise<void>): Promise<Cost> {
    const path = this.#profile
    return path === undefined ? this.#cost(work) : profiled(path, () => this.#cost(work))
  }

  async #cost(work: () => Promise<void>): Promise<Cost> {
    const server = await this.#ground.usage()
    const cpu = process.cpuUsage()
    const begun = performance.now()
    await work()
    const seconds = (performance.now() - begun) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const after = await this.#ground.usage()
    return {
      seconds,
      cpuSeconds: (user + system) / 1e6,
      serverCpuSeconds: difference(after.cpuSeconds, server.cpuSeconds),
      commands: difference(after.commands, server.commands),
    }
  }

  /** Several of these take from one generator, each when its last add is done. */
  async #addInTurn(payloads: Generator<Payload>): Promise<void> {
    for (const payload of payloads) await this.line.add(payload)
  }
}

export const QUEUE_NAME = 'work'

export async function inTime<T>(promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const why = `Not all has happened within ${PATIENCE_MS} ms`
  const timer = setTimeout(() => late.reject(new Error(why)), PATIENCE_MS)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function difference(after: number | null, before: number | null): number | null {
  return after === null || before === null ? null : after - before
}
