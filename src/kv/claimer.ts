import { type JobEvent, transition } from '../lifecycle.ts'
import type { Logger } from '../logger.ts'
import type { Put } from '../store/store.ts'
import { Claim } from './claim.ts'
import { wonOf } from './claim-round.ts'
import { encodeStamp, type JobRecord } from './job-record.ts'
import { pauseKey, placeOf } from './layout.ts'
import type { StoreSession } from './store-session.ts'
import type { Upkeep } from './upkeep.ts'

/** Tries to read the data of claimed jobs together, and then of each. */
const TRIES = 3
/** How long a job is put off whose data cannot be read. */
const UNREADABLE_MS = 5_000

export interface ClaimerOptions {
  readonly session: StoreSession
  readonly upkeep: Upkeep
  readonly logger: Logger
  /** How long the lease of this job shall be, in ms. */
  readonly leaseMsOf: (record: JobRecord) => number
}

/** Claims jobs that were found, each by a unit of its own. */
export class Claimer {
  readonly #options: ClaimerOptions

  constructor(options: ClaimerOptions) {
    this.#options = options
  }

  /** Claims just these. Those that someone else was quicker to change are left out. */
  async claimRecords(records: readonly JobRecord[], now: number): Promise<Claim[]> {
    if (records.length === 0) return []
    const owner = this.#options.session.nonce()
    const claimed = await wonOf(records.map((record) => this.#claimOne(record, owner, now)))
    const won = await this.#withData(claimed)
    return won.map((record) => new Claim(this.#options.session, record))
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
