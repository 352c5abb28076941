import { transition } from '../lifecycle.ts'
import type { Logger } from '../logger.ts'
import type { Range, StoredRecord } from '../store/store.ts'
import { wakeOf } from './claim.ts'
import { decodeRecord, encodeRecord, type JobRecord } from './job-record.ts'
import { type PlaceKind, pauseKey, placeOf } from './layout.ts'
import { outcomesOf } from './outcomes.ts'
import type { StoreSession } from './store-session.ts'

export interface UpkeepOptions {
  readonly session: StoreSession
  readonly logger: Logger
  readonly maxLapses: number
}

/** Lists whose first record tells whether something in them has fallen due. */
const TIMED: readonly PlaceKind[] = ['delayed', 'retrying', 'held', 'lease', 'cancelling']
export const LINES: readonly PlaceKind[] = ['ready', 'again']
/** Records of one list that one round of upkeep moves. */
const UPKEEP_MAX = 100
/** Rounds of upkeep before a claim takes what there is: 5,000 jobs that fell due at once. */
const ROUNDS_MAX = 50
/** What a lapse test adds where `now` is a clock of our own: how far two of those may be apart. */
export const LOCAL_SKEW_MS = 5_000
/** A lease that ends later than so many times its length was written under a clock that was wrong. */
const LEASE_LENGTHS_MAX = 10

/** What a worker would take now: so many jobs of a queue. */
export interface Want {
  readonly queueName: string
  readonly limit: number
}

export interface Look {
  readonly now: number
  /** Leases that ended before this have lapsed. */
  readonly lapsedBefore: number
  /** Per want: the records of its two lines, merged; none while the queue is paused. */
  readonly lines: readonly (readonly StoredRecord[])[]
  /** The first records of each timed list, and the last of the leases. */
  readonly probes: readonly StoredRecord[]
}

/** Moves what has fallen due and what has lapsed back into the lines, where claims take from. */
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

  /** `timed`: how many records of each timed list to look at; one tells whether any is due. */
  async look(wants: readonly Want[], timed = 1): Promise<Look> {
    const { session } = this.#options
    const store = await session.store()
    const { now, got, ranges } = await session.read({
      get: wants.map(({ queueName }) => pauseKey(queueName)),
      ranges: wants.flatMap((want) => probesAndLines(want, this.#unreadable.size, timed)),
    })
    const lines: StoredRecord[][] = []
    const probes: StoredRecord[] = []
    wants.forEach((_, i) => {
      const lists = ranges.slice(i * LISTS_PER_WANT, (i + 1) * LISTS_PER_WANT)
      const line = lists.splice(0, LINES.length).flat()
      lines.push(got[i] ? [] : line.sort(byScoreAndKey))
      probes.push(...lists.flat().filter(({ key }) => !this.#unreadable.has(key)))
    })
    return { now, lapsedBefore: store.clock === 'local' ? now - LOCAL_SKEW_MS : now, lines, probes }
  }

  /** Moves what has fallen due back into the lines, then looks. */
  async moveDue(wants: readonly Want[]): Promise<Look & { readonly moved: boolean }> {
    let look = await this.look(wants)
    let round = 0
    while (round < ROUNDS_MAX && duesOf(look).length > 0 && (await this.#move(wants))) {
      round++
      look = await this.look(wants)
    }
    return { ...look, moved: round > 0 }
  }

  async #move(wants: readonly Want[]): Promise<boolean> {
    const look = await this.look(wants, UPKEEP_MAX)
    // The last lease may be among the first as well.
    const due = new Map(duesOf(look).map((stored) => [stored.key, stored]))
    const moves = [...due.values()].map((one) => this.moveOn(one, look.now))
    const { done, failed } = await outcomesOf(moves)
    const moved = done.some((record) => record !== null)
    if (!moved && failed) throw failed.reason
    return moved
  }

  /** Moves one record that has fallen due or lapsed. Null: it could not be, or had moved already. */
  async moveOn(stored: StoredRecord, now: number): Promise<JobRecord | null> {
    const record = this.decode(stored)
    if (record === null) return null
    const next = this.#afterDue(record, now)
    const put = { key: record.key, expect: record.version, ...encodeRecord(next, now) }
    const version = await this.#options.session.commit([put], wakeOf(next, now))
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

const LISTS_PER_WANT = LINES.length + TIMED.length + 1

function probesAndLines({ queueName, limit }: Want, unreadable: number, timed: number): Range[] {
  return [
    // One more than wanted, to know whether the queue has more.
    ...LINES.map((kind) => ({ place: placeOf(kind, queueName), limit: limit + 1 + unreadable })),
    ...TIMED.map((kind) => ({ place: placeOf(kind, queueName), limit: timed + unreadable })),
    { place: placeOf('lease', queueName), limit: timed + unreadable, reverse: true },
  ]
}

/** What has fallen due, and whose lease has ended. */
export function duesOf({ now, lapsedBefore, probes }: Look): StoredRecord[] {
  return probes.filter(({ place, score, stamp }) => {
    if (!place.startsWith('l')) return score <= now
    const lengthMs = Number(stamp.split(' ')[2] ?? 0)
    return score < lapsedBefore || (lengthMs > 0 && score > now + LEASE_LENGTHS_MAX * lengthMs)
  })
}

export function nextDueAt({ now, lapsedBefore, probes }: Look): number | null {
  const skew = now - lapsedBefore
  const dues = probes.map(({ place, score }) => (place.startsWith('l') ? score + skew + 1 : score))
  return dues.length === 0 ? null : Math.min(...dues)
}

function byScoreAndKey(a: StoredRecord, b: StoredRecord): number {
  return a.score - b.score || (a.key < b.key ? -1 : 1)
}
