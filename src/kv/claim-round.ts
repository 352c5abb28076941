import type { Claim } from './claim.ts'
import { outcomesOf } from './outcomes.ts'

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
