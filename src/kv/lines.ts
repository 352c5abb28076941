import type { ClaimRound, ClaimSource, Want } from './claim-round.ts'
import type { Claimer } from './claimer.ts'
import { Dues, nextDueAt } from './dues.ts'
import type { StoreSession } from './store-session.ts'
import { Taker } from './taker.ts'
import type { Upkeep } from './upkeep.ts'

/** See `KvJobQueueStrategy`: only leases that are renewed are taken. */
declare const WHERRY_RESIDENT: boolean | undefined

export interface LinesOptions {
  readonly session: StoreSession
  readonly upkeep: Upkeep
  readonly claimer: Claimer
  /** How long all leases are, in ms; null: that depends on the job. */
  readonly leaseMs: () => number | null
}

/**
 * The lines of jobs that may run, of every queue. A claim takes from their heads, after what has
 * fallen due was moved into them: by the store's own `take` where it has one.
 */
export class Lines implements ClaimSource {
  readonly #options: LinesOptions
  readonly #dues: Dues
  readonly #taker: Taker | null

  constructor(options: LinesOptions) {
    this.#options = options
    this.#dues = new Dues(options)
    this.#taker =
      typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT
        ? new Taker({ ...options, dues: this.#dues })
        : null
  }

  async claim(wants: readonly Want[]): Promise<ClaimRound> {
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      const { session, upkeep } = this.#options
      const { take } = session.ready ?? (await session.store())
      const leaseMs = this.#options.leaseMs()
      // A store would take what this version cannot read as well.
      if (take !== undefined && leaseMs !== null && upkeep.unreadable === 0) {
        return (await this.#taker?.claim(wants, leaseMs)) ?? this.claim(wants)
      }
    }
    return this.#claimFromLines(wants)
  }

  async #claimFromLines(wants: readonly Want[]): Promise<ClaimRound> {
    const { upkeep, claimer } = this.#options
    const { unreadable } = upkeep
    const look = await this.#dues.moveDue(wants)
    const lines = look.lines.map((line) => upkeep.decodeAll(line))
    // What cannot be read must not hide what stands behind it.
    if (upkeep.unreadable > unreadable) return this.#claimFromLines(wants)
    const heads = wants.flatMap(({ limit }, i) => lines[i]?.slice(0, limit) ?? [])
    const hasMore = wants.some(({ limit }, i) => (lines[i]?.length ?? 0) > limit)
    const claims = await claimer.claimRecords(heads, look.now)
    const isContended = hasMore && claims.length === 0
    return { claims, nextDueAt: hasMore ? look.now : nextDueAt(look), isContended }
  }
}
