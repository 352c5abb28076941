import type { StoredRecord } from '../store/store.ts'
import { Claim } from './claim.ts'
import { type ClaimRound, type Want, wonOf } from './claim-round.ts'
import { type Dues, LINES, type Look, nextDueAt } from './dues.ts'
import { encodeStamp, type JobRecord } from './job-record.ts'
import { pauseKey, placeOf } from './layout.ts'
import { type StoreSession, unavailable } from './store-session.ts'
import type { Upkeep } from './upkeep.ts'

export interface TakerOptions {
  readonly session: StoreSession
  readonly upkeep: Upkeep
  readonly dues: Dues
}

/** Leases that may end in the same millisecond. */
const SAME_SCORE_MAX = 10_000

/** How long a look at what has fallen due is good for, while jobs come without it, in ms. */
const LOOK_EVERY_MS = 50

/** Claims by the store's own `take`: many jobs in one round trip. */
export class Taker {
  readonly #options: TakerOptions
  /** When to look again at what has fallen due, by queue, on the store's clock. */
  readonly #lookDueAt = new Map<string, number>()

  constructor(options: TakerOptions) {
    this.#options = options
  }

  /** Null: there was nothing, until something was moved to where it takes from. */
  async claim(wants: readonly Want[], leaseMs: number): Promise<ClaimRound | null> {
    const { session } = this.#options
    // A busy queue is not asked at each claim whether something has fallen due.
    const looking = this.#nextLookAt(wants) <= session.clock.now() ? this.#look(wants) : null
    // A look that fails must not lose what is taken beside it.
    const found = looking?.catch(() => null)
    const taken = await wonOf(wants.map((want) => takeJobs(this.#options, want, leaseMs)))
    const look = taken.length === 0 ? await (looking ?? this.#look(wants)) : await found
    if (taken.length === 0 && look?.moved) return null
    const wanted = wants.reduce((total, { limit }) => total + limit, 0)
    const mayHaveMore = look === null || look?.moved || taken.length >= wanted
    const claims = taken.map((record) => new Claim(session, record))
    if (mayHaveMore) return { claims, nextDueAt: session.clock.now() }
    return { claims, nextDueAt: look ? nextDueAt(look) : this.#nextLookAt(wants) }
  }

  async #look(wants: readonly Want[]): Promise<Look & { readonly moved: boolean }> {
    const { session, dues } = this.#options
    const look = await dues.moveDue(wants.map(({ queueName }) => ({ queueName, limit: 0 })))
    const dueAt = Math.min(nextDueAt(look) ?? Infinity, session.clock.now() + LOOK_EVERY_MS)
    for (const { queueName } of wants) this.#lookDueAt.set(queueName, dueAt)
    return look
  }

  #nextLookAt(wants: readonly Want[]): number {
    const at = Math.min(...wants.map(({ queueName }) => this.#lookDueAt.get(queueName) ?? 0))
    // So far ahead it was noted before the store's clock was set back.
    return at > this.#options.session.clock.now() + LOOK_EVERY_MS ? 0 : at
  }
}

async function takeJobs(
  { session, upkeep }: TakerOptions,
  { queueName, limit }: Want,
  lengthMs: number,
): Promise<JobRecord[]> {
  const at = session.clock.now()
  // New for each call: a store knows a call that is sent again by its stamp.
  const owner = session.nonce()
  const into = placeOf('lease', queueName)
  const score = at + lengthMs
  const stamp = encodeStamp({ owner, at, lengthMs, progress: 0 })
  const from = LINES.map((kind) => placeOf(kind, queueName))
  const unless = [pauseKey(queueName)]
  const parts = ['data']
  try {
    const store = session.ready ?? (await session.store())
    const request = { from, limit, into, score, stamp, unless, parts }
    const taken = await unavailable('claim from the store', () => store.take?.(request) ?? [])
    return upkeep.decodeAll(taken)
  } catch (error) {
    const found = await findTaken()
    // Nothing was taken, and why is for the log of whoever asked.
    if (found.length === 0) throw error
    return found
  }

  /** After a call of unknown fate: what bears the stamp is ours. */
  async function findTaken(): Promise<JobRecord[]> {
    const isOurs = (record: StoredRecord | null): record is StoredRecord =>
      record !== null && record.stamp === stamp && record.place === into
    // Others may have claimed at the same moment, and renewed leases too.
    const range = { place: into, from: score, to: score, limit: SAME_SCORE_MAX }
    const { ranges } = await session.readPersistently({ ranges: [range] })
    const get = ranges
      .flat()
      .filter(isOurs)
      .map(({ key }) => key)
    const { got } = await session.readPersistently({ get, parts })
    return upkeep.decodeAll(got.filter(isOurs))
  }
}
