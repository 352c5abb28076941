/** Where a drain gets jobs from, other than by the claimer's look at the lines. */
import { JobState } from '../lifecycle.ts'
import type { Range, StoredRecord } from '../store/store.ts'
import { Claim } from './claim.ts'
import { type ClaimRound, type ClaimSource, type Want, wonOf } from './claim-round.ts'
import type { Claimer } from './claimer.ts'
import type { JobRecord } from './job-record.ts'
import { PLACES, type PlaceKind, pauseKey, placeOf, rankOf } from './layout.ts'
import type { StoreSession } from './store-session.ts'
import { LOCAL_SKEW_MS, type Upkeep } from './upkeep.ts'

/** Jobs that this process has added and was told to run itself. Nothing is listed for them. */
export class OwnJobs implements ClaimSource {
  readonly #session: StoreSession
  readonly #claimer: Claimer
  #waiting: JobRecord[] = []

  constructor(session: StoreSession, claimer: Claimer) {
    this.#session = session
    this.#claimer = claimer
  }

  add(record: JobRecord): void {
    this.#waiting.push(record)
  }

  async claim(wants: readonly Want[]): Promise<ClaimRound> {
    for (;;) {
      const taken = this.#take(wants)
      const claims = await this.#claimOf(taken)
      // Those that are gone already must not hide what stands behind them.
      if (claims.length > 0 || taken.length === 0) return { claims, nextDueAt: null }
    }
  }

  async #claimOf(taken: readonly JobRecord[]): Promise<Claim[]> {
    if (taken.length === 0) return []
    const names = [...new Set(taken.map(({ queueName }) => queueName))]
    const { now, got } = await this.#session.read({ get: names.map(pauseKey) })
    const paused = new Set(names.filter((_, i) => got[i] !== null))
    const runnable = taken.filter(({ queueName }) => !paused.has(queueName))
    const held = runnable.filter(({ life }) => life.lease !== null)
    const free = runnable.filter(({ life }) => life.lease === null)
    // A job born leased is claimed already; past its lease it belongs to whoever finds it.
    const claims = held
      .map((record) => new Claim(this.#session, record))
      .filter(({ believed }) => believed)
    return [...claims, ...(await this.#claimer.claimRecords(free, now))]
  }

  /** What a paused queue holds back is forgotten here: whoever lists will find it. */
  #take(wants: readonly Want[]): JobRecord[] {
    const left = new Map(wants.map(({ queueName, limit }) => [queueName, limit]))
    const taken: JobRecord[] = []
    this.#waiting = this.#waiting.filter((record) => {
      const room = left.get(record.queueName) ?? 0
      if (room === 0) return true
      left.set(record.queueName, room - 1)
      taken.push(record)
      return false
    })
    return taken
  }
}

const LISTED: readonly PlaceKind[] = [
  'ready',
  'again',
  'delayed',
  'retrying',
  'held',
  'lease',
  'cancelling',
]
const LISTED_MAX = 1_000

/**
 * Jobs of a store whose lists are dear and stale: everything is listed once, and then taken from
 * that list, each after a look at the record itself.
 */
export class ListedJobs implements ClaimSource {
  readonly #session: StoreSession
  readonly #claimer: Claimer
  readonly #upkeep: Upkeep
  readonly #queueNames: readonly string[]
  #runnable: JobRecord[] | null = null
  #nextDueAt: number | null = null

  constructor(
    session: StoreSession,
    claimer: Claimer,
    upkeep: Upkeep,
    queueNames: readonly string[],
  ) {
    this.#session = session
    this.#claimer = claimer
    this.#upkeep = upkeep
    this.#queueNames = queueNames
  }

  async claim(wants: readonly Want[]): Promise<ClaimRound> {
    this.#runnable ??= await this.#list()
    const claims = await wonOf(wants.map((want) => this.#claimFor(want)))
    return { claims, nextDueAt: this.#nextDueAt }
  }

  async #claimFor({ queueName, limit }: Want): Promise<Claim[]> {
    const claims: Claim[] = []
    while (claims.length < limit) {
      const index = this.#runnable?.findIndex((record) => record.queueName === queueName) ?? -1
      const [listed] = index < 0 ? [] : (this.#runnable?.splice(index, 1) ?? [])
      if (listed === undefined) break
      try {
        claims.push(...(await this.#claimOne(listed)))
      } catch (error) {
        this.#runnable?.unshift(listed)
        if (claims.length === 0) throw error
        // What is claimed has to run; the next round tells whether the failure goes on.
        break
      }
    }
    return claims
  }

  /** The list may be a minute old: what the record itself says counts. */
  async #claimOne({ key }: JobRecord): Promise<Claim[]> {
    const { now, got } = await this.#session.read({ get: [key], parts: ['data'] })
    const [stored] = got
    const record = stored ? this.#upkeep.decode(stored) : null
    return record !== null && isRunnable(record, now)
      ? this.#claimer.claimRecords([record], now)
      : []
  }

  async #list(): Promise<JobRecord[]> {
    const names = this.#queueNames
    const to = this.#session.clock.now()
    const ranges = names.flatMap((name) => LISTED.map((kind) => rangeOf(kind, name, to)))
    const {
      now,
      got,
      ranges: lists,
    } = await this.#session.read({ get: names.map(pauseKey), ranges })
    const paused = new Set(names.filter((_, i) => got[i] !== null))
    const runnable: JobRecord[] = []
    for (const stored of lists.flat()) {
      const record = this.#upkeep.decode(stored)
      if (record === null || paused.has(record.queueName)) continue
      if (isRunnable(record, now)) runnable.push(record)
      else if (stored.score < now - LOCAL_SKEW_MS)
        runnable.push(...(await this.#freed(stored, now)))
      else this.#nextDueAt = Math.min(this.#nextDueAt ?? Infinity, stored.score)
    }
    return runnable.sort((a, b) => rank(a) - rank(b) || (a.key < b.key ? -1 : 1))
  }

  /** What has lapsed goes back into the line, or to its end if that was once too often. */
  async #freed(stored: StoredRecord, now: number): Promise<JobRecord[]> {
    // One that cannot be moved now must not end the tick of the others.
    const record = await this.#upkeep.moveOn(stored, now).catch(() => null)
    return record !== null && isRunnable(record, now) ? [record] : []
  }
}

function rangeOf(kind: PlaceKind, queueName: string, to: number): Range {
  const range = { place: placeOf(kind, queueName), limit: LISTED_MAX }
  // The future may be long, and nobody runs it now.
  return PLACES[kind].class === 'd' ? { ...range, to } : range
}

function isRunnable({ life }: JobRecord, now: number): boolean {
  const waits = life.state === JobState.PENDING || life.state === JobState.RETRYING
  return waits && life.lease === null && (life.runAt === null || life.runAt <= now)
}

function rank({ priority, createdAt, life }: JobRecord): number {
  return rankOf(priority, life.runAt ?? createdAt)
}
