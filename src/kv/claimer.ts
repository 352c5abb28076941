import { type Random, randomToken } from '../clock.ts'
import { type JobEvent, transition } from '../lifecycle.ts'
import type { Logger } from '../logger.ts'
import type { Put } from '../store/store.ts'
import { Claim } from './claim.ts'
import { encodeStamp, type JobRecord } from './job-record.ts'
import { pauseKey, placeOf } from './layout.ts'
import { outcomesOf } from './outcomes.ts'
import type { StoreSession } from './store-session.ts'
import { takeJobs } from './taker.ts'
import { nextDueAt, type Upkeep, type Want } from './upkeep.ts'

/** See `KvJobQueueStrategy`: only leases that are renewed are taken. */
declare const WHERRY_RESIDENT: boolean | undefined

/** Tries to read the data of claimed jobs together, and then of each. */
const TRIES = 3
/** How long a job is put off whose data cannot be read. */
const UNREADABLE_MS = 5_000

export interface ClaimRound {
  readonly claims: readonly Claim[]
  /** When something of these queues falls due next, on the store's clock; null: nothing known. */
  readonly nextDueAt: number | null
  /** Whether others were quicker to take what was found, and there is more. */
  readonly isContended?: boolean
}

/** Where a worker gets its jobs from. */
export interface ClaimSource {
  claim(wants: readonly Want[]): Promise<ClaimRound>
}

export interface ClaimerOptions {
  readonly session: StoreSession
  readonly upkeep: Upkeep
  readonly random: Random
  readonly logger: Logger
  /** How long the lease of this job shall be, in ms. */
  readonly leaseMsOf: (record: JobRecord) => number
  /** How long all leases are, in ms; null: that depends on the job. */
  readonly leaseMs: () => number | null
}

/**
 * Finds jobs that may run and claims them: by the store's own `take` where it has one; else a claim
 * takes from the heads of the lines, each job a unit of its own, after the upkeep that is due.
 */
export class Claimer implements ClaimSource {
  readonly #options: ClaimerOptions

  constructor(options: ClaimerOptions) {
    this.#options = options
  }

  async claim(wants: readonly Want[]): Promise<ClaimRound> {
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      const { session, upkeep } = this.#options
      const { take } = await session.store()
      const leaseMs = this.#options.leaseMs()
      // A store would take what this version cannot read as well.
      if (take !== undefined && leaseMs !== null && upkeep.unreadable === 0) {
        return (await claimByTake(this.#options, wants, leaseMs)) ?? this.claim(wants)
      }
    }
    return this.#claimFromLines(wants)
  }

  async #claimFromLines(wants: readonly Want[]): Promise<ClaimRound> {
    const { upkeep } = this.#options
    const { unreadable } = upkeep
    const look = await upkeep.moveDue(wants)
    const lines = look.lines.map((line) => upkeep.decodeAll(line))
    // What cannot be read must not hide what stands behind it.
    if (upkeep.unreadable > unreadable) return this.#claimFromLines(wants)
    const heads = wants.flatMap(({ limit }, i) => lines[i]?.slice(0, limit) ?? [])
    const hasMore = wants.some(({ limit }, i) => (lines[i]?.length ?? 0) > limit)
    const claims = await this.claimRecords(heads, look.now)
    const isContended = hasMore && claims.length === 0
    return { claims, nextDueAt: hasMore ? look.now : nextDueAt(look), isContended }
  }

  /** Claims just these. Those that someone else was quicker to change are left out. */
  async claimRecords(records: readonly JobRecord[], now: number): Promise<Claim[]> {
    if (records.length === 0) return []
    const owner = randomToken(this.#options.random, 10)
    const claimed = await wonOf(records.map((record) => this.#claimOne(record, owner, now)))
    const won = await this.#withData(claimed)
    return believedClaims(this.#options.session, won)
  }

  async #claimOne(record: JobRecord, owner: string, now: number): Promise<JobRecord[]> {
    const { session } = this.#options
    const lengthMs = this.#options.leaseMsOf(record)
    const lease = { owner, until: now + lengthMs, lengthMs }
    const event: JobEvent = { type: 'started', at: now, lease }
    const life = transition(record.life, event)
    if (life === null) return []
    const claimed: JobRecord = { ...record, owner, life: { ...life, progress: 0 } }
    const put: Put = {
      key: record.key,
      expect: record.version,
      place: placeOf('lease', record.queueName),
      score: lease.until,
      stamp: encodeStamp({ owner, at: now, lengthMs, progress: 0 }),
    }
    try {
      const version = await session.commit([put, { key: pauseKey(record.queueName), expect: null }])
      return version === null ? [] : [{ ...claimed, version }]
    } catch (error) {
      const found = await this.#foundOwn(record.key, owner)
      if (found === null) throw error
      return [found]
    }
  }

  /** After a commit of unknown fate: the nonce tells whether it was ours. */
  async #foundOwn(key: string, owner: string): Promise<JobRecord | null> {
    const { session, upkeep } = this.#options
    const { got } = await session.readPersistently({ get: [key] })
    const found = got[0] ? upkeep.decode(got[0]) : null
    // Cancelled meanwhile, it is left to lapse: its handler has not begun.
    return found?.owner === owner && found.life.state === 'RUNNING' ? found : null
  }

  async #withData(records: readonly JobRecord[]): Promise<JobRecord[]> {
    const bare = records.filter(({ parts }) => parts['data'] === undefined)
    if (bare.length === 0) return [...records]
    const get = bare.map(({ key }) => key)
    try {
      const { got } = await this.#options.session.readPersistently({ get, parts: ['data'] }, TRIES)
      const parts = new Map(bare.map(({ key }, i) => [key, got[i]?.parts ?? {}]))
      return records.map((record) => ({ ...record, parts: parts.get(record.key) ?? record.parts }))
    } catch {
      return records.length > 1 ? this.#withDataEach(records) : this.#putOff(records)
    }
  }

  async #withDataEach(records: readonly JobRecord[]): Promise<JobRecord[]> {
    return wonOf(records.map((record) => this.#withData([record])))
  }

  /** A store may show a part later than the record that names it: that is no failure of the job. */
  async #putOff(records: readonly JobRecord[]): Promise<JobRecord[]> {
    const { session, logger } = this.#options
    const until = session.clock.now() + UNREADABLE_MS
    for (const record of records) {
      await new Claim(session, record).settle({ event: { type: 'deferred', until } })
      logger.warn('The data of a job cannot be read; it is put off', { jobId: record.id })
    }
    return []
  }
}

/** By the store's own `take`; null: there was nothing, until something was moved to where it takes from. */
async function claimByTake(
  options: ClaimerOptions,
  wants: readonly Want[],
  leaseMs: number,
): Promise<ClaimRound | null> {
  const { session, upkeep } = options
  const looking = upkeep.moveDue(wants.map(({ queueName }) => ({ queueName, limit: 0 })))
  // A look that fails must not lose what is taken beside it.
  const found = looking.catch(() => null)
  const taken = await wonOf(wants.map((want) => takeJobs(options, want, leaseMs)))
  const look = taken.length === 0 ? await looking : await found
  if (taken.length === 0 && look?.moved) return null
  const wanted = wants.reduce((total, { limit }) => total + limit, 0)
  const mayHaveMore = look === null || look.moved || taken.length >= wanted
  // Only now does it count who is believed, for the look may have taken its time.
  const claims = believedClaims(session, taken)
  return { claims, nextDueAt: mayHaveMore ? session.clock.now() : nextDueAt(look) }
}

/** What was won. A failure is passed on when nothing was: what was won has to run. */
export async function wonOf<T>(claims: readonly Promise<T[]>[]): Promise<T[]> {
  const { done, failed } = await outcomesOf(claims)
  const won = done.flat()
  if (won.length === 0 && failed) throw failed.reason
  return won
}

/** A claim whose answer came after its lease is given back unstarted: someone may have the job. */
export function believedClaims(session: StoreSession, records: readonly JobRecord[]): Claim[] {
  return records
    .map((record) => new Claim(session, record))
    .filter((claim) => {
      if (claim.believed) return true
      void claim.settle({ event: { type: 'deferred' } }).catch(() => {})
      return false
    })
}
