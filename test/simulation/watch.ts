import { decodeRecord, type JobRecord } from '../../src/kv/job-record.ts'
import { idOfKey, kindOf, pauseKey } from '../../src/kv/layout.ts'
import type { Put, Store, StoredRecord } from '../../src/store/store.ts'

/** What a job is known to have been: over its removal and a new job of the same id too. */
interface Past {
  fenceMax: number
  readonly ownerOfFence: Map<number, string>
  /** The nonce of each time that it was added. */
  readonly nonces: Set<string>
  /** Fences of attempts that settled the job, or put it back after a failure. */
  readonly settledBy: Set<number>
}

export interface WatchRules {
  /** Lapses after which a job has failed. */
  readonly maxLapses: number
  /** Whether a lease may lapse at all in this run. */
  readonly lapsesHappen: boolean
  /** Hears of every write of a job. */
  readonly trace: ((line: string) => void) | undefined
}

/**
 * Sits between the simulated processes and the one true store, and checks each write of a job
 * against the one before.
 */
export class Watch {
  readonly store: Store
  /** Why the run failed; null: it has not. */
  broken: string | null = null
  writes = 0
  settlements = 0
  readonly #true: Store
  readonly #rules: WatchRules
  readonly #past = new Map<string, Past>()
  readonly #records = new Map<string, JobRecord>()
  #forgotAt = 0
  /** Ids that a client has asked to retry: they may leave a settled state. */
  readonly retryable: Set<string> = new Set()

  constructor(store: Store, rules: WatchRules) {
    this.#true = store
    this.#rules = rules
    const { take, subscribe } = store
    this.store = {
      name: store.name,
      guarantee: store.guarantee,
      clock: store.clock,
      limits: store.limits,
      read: (query) => store.read(query),
      commit: async (units, hint) => {
        const versions = await store.commit(units, hint)
        const written = units.filter((_, i) => versions[i]).flat()
        await this.#check(written)
        return versions
      },
      operations: () => store.operations(),
      close: () => store.close(),
      ...(take && {
        take: async (request) => {
          const taken = await take.call(store, request)
          await this.#check(taken.map(({ key }) => ({ key, expect: null })))
          return taken
        },
      }),
      ...(subscribe && { subscribe: subscribe.bind(store) }),
    }
  }

  /** Begins anew with what is stored: the store has forgotten what it had answered. */
  async resume(): Promise<void> {
    const { now, ranges } = await this.#true.read({ ranges: [{ prefix: '', limit: 10_000 }] })
    this.#forgotAt = now
    this.#records.clear()
    for (const stored of ranges.flat()) {
      const id = idOfKey(stored.key)
      if (id !== null) this.#records.set(id, decodeRecord(stored))
    }
  }

  fail(why: string): void {
    this.broken ??= why
  }

  record(id: string): JobRecord | undefined {
    return this.#records.get(id)
  }

  records(): JobRecord[] {
    return [...this.#records.values()]
  }

  /** Whether the attempt with this fence ended the job, or ended itself, in the store. */
  settledBy(id: string, fence: number): boolean {
    return this.#past.get(id)?.settledBy.has(fence) ?? false
  }

  async #check(puts: readonly Put[]): Promise<void> {
    const keys = puts.map(({ key }) => key).filter((key) => idOfKey(key) !== null)
    if (keys.length === 0) return
    const { got } = await this.#true.read({ get: keys })
    for (const [i, key] of keys.entries()) {
      const id = idOfKey(key) as string
      const before = this.#records.get(id)
      this.#checkOne(id, got[i] ?? null)
      const after = this.#records.get(id)
      if (after?.life.state !== 'RUNNING' || before?.life.state === 'RUNNING') continue
      const { got: pause } = await this.#true.read({ get: [pauseKey(after.queueName)] })
      if (pause[0]) this.fail(`${id}: was claimed while its queue was paused`)
    }
  }

  #checkOne(id: string, stored: StoredRecord | null): void {
    this.writes++
    const before = this.#records.get(id)
    if (stored === null) {
      if (before && (before.life.settledAt === null || before.life.lease !== null)) {
        this.fail(`${id}: dropped while ${before.life.state}`)
      }
      this.#records.delete(id)
      return
    }
    const after = decodeRecord(stored)
    this.#records.set(id, after)
    this.#rules.trace?.(
      `${id} ${stored.place} ${stored.score} ${stored.stamp} ${JSON.stringify(after.life)}`,
    )
    const past = this.#pastOf(id, before ? '' : after.nonce)
    this.#checkLife(id, after, stored)
    this.#checkFence(id, past, before, after)
    if (before) this.#checkStep(id, past, before, after)
  }

  #checkLife(id: string, { life, queueName }: JobRecord, stored: StoredRecord): void {
    const settled =
      life.state === 'COMPLETED' || life.state === 'FAILED' || life.state === 'CANCELLED'
    if (settled !== (life.settledAt !== null))
      this.fail(`${id}: ${life.state} with settledAt ${life.settledAt}`)
    if (life.attempts > life.retries + 1)
      this.fail(`${id}: ${life.attempts} attempts of ${life.retries + 1}`)
    const running = life.state === 'RUNNING'
    if (running && life.lease === null) this.fail(`${id}: RUNNING without a lease`)
    if (life.lapses > 0 && !this.#rules.lapsesHappen)
      this.fail(`${id}: a lease lapsed though its holder lived`)
    const stalled = life.error?.startsWith('Stalled') ?? false
    if (stalled !== life.lapses > this.#rules.maxLapses)
      this.fail(`${id}: ${life.state} with ${life.lapses} lapses, ${life.error}`)
    const kind = kindOf(life, Number.MAX_SAFE_INTEGER)
    if (!stored.place.includes(queueName)) this.fail(`${id}: in "${stored.place}" as ${kind}`)
    if (
      life.state === 'FAILED' &&
      life.attempts !== life.retries + 1 &&
      !life.error?.startsWith('Stalled')
    ) {
      this.fail(
        `${id}: FAILED after ${life.attempts} of ${life.retries + 1} attempts: ${life.error}`,
      )
    }
  }

  #checkFence(id: string, past: Past, before: JobRecord | undefined, after: JobRecord): void {
    const { fence } = after.life
    if (before && fence < before.life.fence)
      this.fail(`${id}: the fence fell from ${before.life.fence} to ${fence}`)
    // A claim that was under way when the store forgot may have an older fence than a forgotten one.
    if (after.life.state !== 'RUNNING' || fence <= this.#forgotAt) return
    const owner = past.ownerOfFence.get(fence)
    if (owner !== undefined && owner !== after.owner)
      this.fail(`${id}: fence ${fence} has two owners`)
    if (owner === undefined) {
      if (fence <= past.fenceMax)
        this.fail(`${id}: a new claim has fence ${fence}, there was ${past.fenceMax}`)
      past.ownerOfFence.set(fence, after.owner)
      past.fenceMax = fence
    }
  }

  #checkStep(id: string, past: Past, before: JobRecord, after: JobRecord): void {
    const from = before.life
    const to = after.life
    if (from.state === 'RUNNING' && to.state !== 'RUNNING') {
      this.settlements++
      past.settledBy.add(from.fence)
    }
    if (from.settledAt === null) return
    const acknowledged = from.lease !== null && to.lease === null && to.state === from.state
    if (acknowledged) {
      past.settledBy.add(from.fence)
      return
    }
    const retried = this.retryable.has(id) && to.state === 'PENDING' && to.attempts === 0
    if (!retried) this.fail(`${id}: a settled job changed from ${from.state} to ${to.state}`)
  }

  #pastOf(id: string, nonce: string): Past {
    let past = this.#past.get(id)
    // Its add came late, when it had been run and removed: nothing is left to know that by.
    const isBack = past?.nonces.has(nonce)
    if (past === undefined || isBack) {
      past = { fenceMax: 0, ownerOfFence: new Map(), nonces: new Set(), settledBy: new Set() }
      this.#past.set(id, past)
    }
    if (nonce !== '') past.nonces.add(nonce)
    return past
  }
}
