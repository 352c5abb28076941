import type { Range, StoredRecord } from '../store/store.ts'
import type { Want } from './claim-round.ts'
import { type PlaceKind, pauseKey, placeOf } from './layout.ts'
import { outcomesOf } from './outcomes.ts'
import type { StoreSession } from './store-session.ts'
import { LOCAL_SKEW_MS, type Upkeep } from './upkeep.ts'

/** Lists whose first record tells whether something in them has fallen due. */
const TIMED: readonly PlaceKind[] = ['delayed', 'retrying', 'held', 'lease', 'cancelling']
export const LINES: readonly PlaceKind[] = ['ready', 'again']
/** Records of one list that one round of upkeep moves. */
const UPKEEP_MAX = 100
/** Rounds of upkeep before a claim takes what there is: 5,000 jobs that fell due at once. */
const ROUNDS_MAX = 50
/** A lease that ends later than so many times its length was written under a clock that was wrong. */
const LEASE_LENGTHS_MAX = 10

export interface Look {
  readonly now: number
  /** Leases that ended before this have lapsed. */
  readonly lapsedBefore: number
  /** Per want: the records of its two lines, merged; none while the queue is paused. */
  readonly lines: readonly (readonly StoredRecord[])[]
  /** The first records of each timed list, and the last of the leases. */
  readonly probes: readonly StoredRecord[]
}

/** Sees what has fallen due or has lapsed, and has it moved into the lines, where claims take from. */
export class Dues {
  readonly #options: { readonly session: StoreSession; readonly upkeep: Upkeep }

  constructor(options: { readonly session: StoreSession; readonly upkeep: Upkeep }) {
    this.#options = options
  }

  /** `timed`: how many records of each timed list to look at; one tells whether any is due. */
  async look(wants: readonly Want[], timed = 1): Promise<Look> {
    const { session, upkeep } = this.#options
    const store = await session.store()
    const { now, got, ranges } = await session.read({
      get: wants.map(({ queueName }) => pauseKey(queueName)),
      ranges: wants.flatMap((want) => probesAndLines(want, upkeep.unreadable, timed)),
    })
    const lines: StoredRecord[][] = []
    const probes: StoredRecord[] = []
    wants.forEach((_, i) => {
      const lists = ranges.slice(i * LISTS_PER_WANT, (i + 1) * LISTS_PER_WANT)
      const line = lists.splice(0, LINES.length).flat()
      lines.push(got[i] ? [] : line.sort(byScoreAndKey))
      probes.push(...lists.flat().filter(({ key }) => !upkeep.isUnreadable(key)))
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
    const moves = [...due.values()].map((one) => this.#options.upkeep.moveOn(one, look.now))
    const { done, failed } = await outcomesOf(moves)
    const moved = done.some((record) => record !== null)
    if (!moved && failed) throw failed.reason
    return moved
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
