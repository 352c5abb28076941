import type { ProcessJob } from '../job-queue-strategy.ts'
import type { Claim } from './claim.ts'
import type { ClaimRound, ClaimSource } from './claimer.ts'
import type { Attempt } from './runner.ts'
import type { Want } from './upkeep.ts'

/** A queue that has a handler in this process. */
export interface ServedQueue {
  readonly name: string
  readonly process: ProcessJob
  /** Attempts that may run at once in this process. */
  readonly concurrency: number
  /** Slots that are taken, or reserved by a claim under way. */
  taken: number
  readonly attempts: Set<Attempt>
}

export interface Dispatched {
  readonly attempts: readonly Attempt[]
  /** When something of these queues falls due next, on the store's clock; null: nothing known. */
  readonly nextDueAt: number | null
  /** Nothing was looked for, since every slot is taken. */
  readonly isFull: boolean
  /** Others were quicker to take what was found, and there is more. */
  readonly isContended: boolean
}

/**
 * The queues that this process serves, and their slots. Whoever wants jobs done (a resident worker,
 * a drain) asks here, so that all of them together keep to a queue's concurrency.
 */
export class Dispatcher {
  readonly #queues = new Map<string, ServedQueue>()
  readonly #run: (claim: Claim, process: ProcessJob) => Attempt
  #turn = 0
  /** Called when a slot has become free. */
  onFree: (queueName: string) => void = () => {}

  constructor(run: (claim: Claim, process: ProcessJob) => Attempt) {
    this.#run = run
  }

  serve(name: string, process: ProcessJob, concurrency: number): void {
    const known = this.#queues.get(name)
    const { taken = 0, attempts = new Set<Attempt>() } = known ?? {}
    this.#queues.set(name, { name, process, concurrency, taken, attempts })
  }

  get(name: string): ServedQueue | undefined {
    return this.#queues.get(name)
  }

  names(): string[] {
    return [...this.#queues.keys()]
  }

  attempts(name: string): ReadonlySet<Attempt> {
    return this.#queues.get(name)?.attempts ?? new Set()
  }

  /** Claims and starts at most `max` jobs of these queues, which take turns at being the first. */
  async dispatch(
    source: ClaimSource,
    names: readonly string[],
    max: number,
    isWanted: (queueName: string) => boolean = () => true,
  ): Promise<Dispatched> {
    const attempts: Attempt[] = []
    const dues: number[] = []
    let isContended = false
    const wants = this.#wants(names)
    const total = wants.reduce((sum, { limit }) => sum + limit, 0)
    // With less room than the queues would take, they are asked one after the other.
    for (const round of total <= max ? [wants] : wants.map((want) => [want])) {
      const left = max - attempts.length
      if (left <= 0 || round.length === 0) break
      const dispatched = await this.#claim(source, round, left, isWanted).catch((error) => {
        // What has begun is not lost to whoever asked, who hears of a failure that goes on.
        if (attempts.length === 0) throw error
      })
      if (dispatched === undefined) break
      attempts.push(...dispatched.attempts)
      if (dispatched.nextDueAt !== null) dues.push(dispatched.nextDueAt)
      if (dispatched.isContended) isContended = true
    }
    const isFull = wants.length === 0 && names.length > 0
    const nextDueAt = dues.length === 0 ? null : Math.min(...dues)
    return { attempts, nextDueAt, isFull, isContended }
  }

  #wants(names: readonly string[]): Want[] {
    const from = this.#turn++ % Math.max(1, names.length)
    return [...names.slice(from), ...names.slice(0, from)].flatMap((queueName) => {
      const queue = this.#queues.get(queueName)
      const limit = queue === undefined ? 0 : queue.concurrency - queue.taken
      return limit > 0 ? [{ queueName, limit }] : []
    })
  }

  async #claim(
    source: ClaimSource,
    asked: readonly Want[],
    max: number,
    isWanted: (queueName: string) => boolean,
  ): Promise<Omit<ClaimRound, 'claims'> & Pick<Dispatched, 'attempts'>> {
    const wants = asked.map(({ queueName, limit }) => ({ queueName, limit: Math.min(limit, max) }))
    // Reserved first: another claim may be under way for the same queue.
    for (const { queueName, limit } of wants) this.#take(queueName, limit)
    try {
      const { claims, ...round } = await source.claim(wants)
      const attempts: Attempt[] = []
      const givenBack: Promise<unknown>[] = []
      for (const claim of claims) {
        if (isWanted(claim.record.queueName)) attempts.push(this.#start(claim))
        else givenBack.push(claim.settle({ event: { type: 'deferred' } }))
      }
      // Whoever stopped their worker waits for these as well.
      await Promise.allSettled(givenBack)
      return { ...round, attempts }
    } finally {
      for (const { queueName, limit } of wants) this.#take(queueName, -limit)
    }
  }

  #take(queueName: string, slots: number): void {
    const queue = this.#queues.get(queueName)
    if (queue !== undefined) queue.taken += slots
  }

  #start(claim: Claim): Attempt {
    const { queueName } = claim.record
    const queue = this.#queues.get(queueName) as ServedQueue
    const attempt = this.#run(claim, queue.process)
    this.#take(queueName, 1)
    queue.attempts.add(attempt)
    void attempt.stopped.then(() => {
      this.#take(queueName, -1)
      this.onFree(queueName)
    })
    void attempt.ended.finally(() => this.#queues.get(queueName)?.attempts.delete(attempt))
    return attempt
  }
}
