import { type Random, randomToken } from '../clock.ts'
import { type JobEvent, transition } from '../lifecycle.ts'
import type { Logger } from '../logger.ts'
import type { Put, Range, StoredRecord } from '../store/store.ts'
import { Claim, wakeOf } from './claim.ts'
import { decodeRecord, encodeRecord, encodeStamp, type JobRecord } from './job-record.ts'
import { type PlaceKind, pauseKey, placeOf } from './layout.ts'
import type { StoreSession } from './store-session.ts'

/** So many jobs a queue would take now. */
export interface Want {
  readonly queueName: string
  readonly limit: number
}

export interface ClaimRound {
  readonly claims: readonly Claim[]
  /** When something of these queues falls due next, on the store's clock; null: nothing known. */
  readonly nextDueAt: number | null
}

/** Where a worker gets its jobs from. */
export interface ClaimSource {
  claim(wants: readonly Want[]): Promise<ClaimRound>
}

export interface ClaimerOptions {
  readonly session: StoreSession
  readonly random: Random
  readonly logger: Logger
  readonly maxLapses: number
  /** How long the lease of this job shall be, in ms. */
  readonly leaseMsOf: (record: JobRecord) => number
}

/** Lists whose first record tells whether something in them has fallen due. */
const TIMED: readonly PlaceKind[] = ['delayed', 'retrying', 'held', 'lease', 'cancelling']
const LINES: readonly PlaceKind[] = ['ready', 'again']
/** Records of one list that one round of upkeep moves. */
const UPKEEP_MAX = 100
/** Rounds of upkeep before a claim takes what there is: 5,000 jobs that fell due at once. */
const UPKEEP_ROUNDS_MAX = 50
/** What a lapse test adds where `now` is a clock of our own: how far two of those may be apart. */
export const LOCAL_SKEW_MS = 5_000
/** A lease that ends later than so many times its length was written under a clock that was wrong. */
const LEASE_LENGTHS_MAX = 10

interface Look {
  readonly now: number
  /** Leases that ended before this have lapsed. */
  readonly lapsedBefore: number
  /** Per want: the records of its two lines, merged; none while the queue is paused. */
  readonly lines: readonly (readonly StoredRecord[])[]
  /** The first records of each timed list, and the last of the leases. */
  readonly probes: readonly StoredRecord[]
}

/**
 * Finds jobs that may run and claims them. A claim first moves what has fallen due and what has
 * lapsed back into the lines; then it takes from their heads, each job a unit of its own.
 */
export class Claimer implements ClaimSource {
  readonly #options: ClaimerOptions
  /** Keys of records in the lines that this version cannot read. */
  readonly #unreadable = new Set<string>()

  constructor(options: ClaimerOptions) {
    this.#options = options
  }

  async claim(wants: readonly Want[]): Promise<ClaimRound> {
    let look = await this.#look(wants)
    for (let round = 0; round < UPKEEP_ROUNDS_MAX && duesOf(look).length > 0; round++) {
      if (!(await this.#upkeep(wants))) break
      look = await this.#look(wants)
    }
    const unreadable = this.#unreadable.size
    const lines = look.lines.map((line) => this.#decodeAll(line))
    // What cannot be read must not hide what stands behind it.
    if (this.#unreadable.size > unreadable) return this.claim(wants)
    const heads = wants.flatMap(({ limit }, i) => lines[i]?.slice(0, limit) ?? [])
    const hasMore = wants.some(({ limit }, i) => (lines[i]?.length ?? 0) > limit)
    const claims = await this.claimRecords(heads, look.now)
    return { claims, nextDueAt: hasMore ? look.now : nextDueAt(look) }
  }

  /** Claims just these. Those that someone else was quicker to change are left out. */
  async claimRecords(records: readonly JobRecord[], now: number): Promise<Claim[]> {
    if (records.length === 0) return []
    const owner = randomToken(this.#options.random, 10)
    const claimed = await Promise.all(records.map((record) => this.#claimOne(record, owner, now)))
    const won = await this.#withData(claimed.filter((record) => record !== null))
    return won.map((record) => new Claim(this.#options.session, record)).filter(keepsBelief)
  }

  /** `timed`: how many records of each timed list to look at; one tells whether any is due. */
  async #look(wants: readonly Want[], timed = 1): Promise<Look> {
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
      probes.push(...lists.flat())
    })
    return { now, lapsedBefore: store.clock === 'local' ? now - LOCAL_SKEW_MS : now, lines, probes }
  }

  /** Moves what has fallen due back into the lines. Answers whether anything was moved. */
  async #upkeep(wants: readonly Want[]): Promise<boolean> {
    const look = await this.#look(wants, UPKEEP_MAX)
    // The last lease may be among the first as well.
    const due = new Map(duesOf(look).map((stored) => [stored.key, stored]))
    const moved = await Promise.all([...due.values()].map((one) => this.moveOn(one, look.now)))
    return moved.some((record) => record !== null)
  }

  /** Moves one record that has fallen due or lapsed. Null: it could not be, or had moved already. */
  async moveOn(stored: StoredRecord, now: number): Promise<JobRecord | null> {
    const record = this.decode(stored)
    if (record === null) return null
    const next = this.#afterDue(record, now)
    const version = await this.#options.session
      .commit(
        [{ key: record.key, expect: record.version, ...encodeRecord(next, now) }],
        wakeOf(next, now),
      )
      .catch(() => null)
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

  async #claimOne(record: JobRecord, owner: string, now: number): Promise<JobRecord | null> {
    const { session } = this.#options
    const lengthMs = this.#options.leaseMsOf(record)
    const lease = { owner, until: now + lengthMs, lengthMs }
    const event: JobEvent = { type: 'started', at: now, lease }
    const life = transition(record.life, event)
    if (life === null) return null
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
      return version === null ? null : { ...claimed, version }
    } catch {
      return this.#foundOwn(record, owner)
    }
  }

  /** After a commit of unknown fate: the nonce tells whether it was ours. */
  async #foundOwn({ key, id }: JobRecord, owner: string): Promise<JobRecord | null> {
    try {
      const { got } = await this.#options.session.readPersistently({ get: [key] })
      const found = got[0] ? this.decode(got[0]) : null
      // Cancelled meanwhile, it is left to lapse: its handler has not begun.
      return found?.owner === owner && found.life.state === 'RUNNING' ? found : null
    } catch (error) {
      this.#options.logger.warn('Cannot tell whether a claim was made', { error, jobId: id })
      return null
    }
  }

  async #withData(records: readonly JobRecord[]): Promise<JobRecord[]> {
    if (records.length === 0) return []
    const bare = records.filter(({ parts }) => parts['data'] === undefined)
    if (bare.length === 0) return [...records]
    const get = bare.map(({ key }) => key)
    const { got } = await this.#options.session.readPersistently({ get, parts: ['data'] })
    const parts = new Map(bare.map(({ key }, i) => [key, got[i]?.parts ?? {}]))
    return records.map((record) => ({ ...record, parts: parts.get(record.key) ?? record.parts }))
  }

  #decodeAll(line: readonly StoredRecord[]): JobRecord[] {
    return line.map((stored) => this.decode(stored)).filter((record) => record !== null)
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
    ...TIMED.map((kind) => ({ place: placeOf(kind, queueName), limit: timed })),
    { place: placeOf('lease', queueName), limit: timed, reverse: true },
  ]
}

/** What has fallen due, and whose lease has ended. */
function duesOf({ now, lapsedBefore, probes }: Look): StoredRecord[] {
  return probes.filter(({ place, score, stamp }) => {
    if (!place.startsWith('l')) return score <= now
    const lengthMs = Number(stamp.split(' ')[2] ?? 0)
    return score < lapsedBefore || (lengthMs > 0 && score > now + LEASE_LENGTHS_MAX * lengthMs)
  })
}

function nextDueAt({ now, lapsedBefore, probes }: Look): number | null {
  const skew = now - lapsedBefore
  const dues = probes.map(({ place, score }) => (place.startsWith('l') ? score + skew + 1 : score))
  return dues.length === 0 ? null : Math.min(...dues)
}

function byScoreAndKey(a: StoredRecord, b: StoredRecord): number {
  return a.score - b.score || (a.key < b.key ? -1 : 1)
}

/** A claim whose answer came after its lease is given back unstarted: someone may have the job. */
function keepsBelief(claim: Claim): boolean {
  if (claim.believed) return true
  void claim.settle({ event: { type: 'deferred' } }).catch(() => {})
  return false
}
