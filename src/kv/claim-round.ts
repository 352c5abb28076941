import { Claim } from './claim.ts'
import type { JobRecord } from './job-record.ts'
import { outcomesOf } from './outcomes.ts'
import type { StoreSession } from './store-session.ts'

/** What a worker would take now: so many jobs of a queue. */
export interface Want {
  readonly queueName: string
  readonly limit: number
}

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
