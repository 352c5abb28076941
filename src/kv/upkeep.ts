import { transition } from '../lifecycle.ts'
import type { Logger } from '../logger.ts'
import type { StoredRecord } from '../store/store.ts'
import { wakeOf } from './claim.ts'
import { decodeRecord, type JobRecord, putOf } from './job-record.ts'
import type { StoreSession } from './store-session.ts'

export interface UpkeepOptions {
  readonly session: StoreSession
  readonly logger: Logger
  readonly maxLapses: number
}

/** What a lapse test adds where `now` is a clock of our own: how far two of those may be apart. */
export const LOCAL_SKEW_MS = 5_000
/** Moves on what has fallen due and what has lapsed: back into the lines, or to its end. */
export class Upkeep {
  readonly #options: UpkeepOptions
  /** Keys of records in the lines that this version cannot read. */
  readonly #unreadable = new Set<string>()

  constructor(options: UpkeepOptions) {
    this.#options = options
  }

  /** How many records were met that this version cannot read. */
  get unreadable(): number {
    return this.#unreadable.size
  }

  isUnreadable(key: string): boolean {
    return this.#unreadable.has(key)
  }

  /** Moves one record that has fallen due or lapsed. Null: it could not be, or had moved already. */
  async moveOn(stored: StoredRecord, now: number): Promise<JobRecord | null> {
    const record = this.decode(stored)
    if (record === null) return null
    const next = this.#afterDue(record, now)
    const version = await this.#options.session.commit([putOf(next, now)], wakeOf(next, now))
    if (version === null) return null
    if (next.life.lapses > record.life.lapses) {
      const { id: jobId, queueName, life } = next
      const fields = { jobId, queueName, lapses: life.lapses, state: life.state }
      this.#options.logger.warn('A lease has lapsed', fields)
    }
    return { ...next, version }
  }

  #afterDue(record: JobRecord, now: number): JobRecord {
    if (record.life.lease === null) return record
    const { maxLapses } = this.#options
    const life = transition(record.life, { type: 'lapsed', at: now, maxLapses }) ?? record.life
    // Without the owner, who may only be slow, its late answer is not mistaken for this change.
    return { ...record, life, owner: '' }
  }

  decodeAll(records: readonly StoredRecord[]): JobRecord[] {
    return records.map((stored) => this.decode(stored)).filter((record) => record !== null)
  }

  /** Null, and a line in the log, for a record that this version cannot read. */
  decode(stored: StoredRecord): JobRecord | null {
    try {
      return decodeRecord(stored)
    } catch (error) {
      const { key } = stored
      if (!this.#unreadable.has(key)) {
        this.#options.logger.error('A record cannot be read; it stays where it is', { error, key })
      }
      this.#unreadable.add(key)
      return null
    }
  }
}
