import type { Open } from './contestant.ts'
import type { GroundName } from './ground.ts'

/** Loaded by who runs it alone: a round has no other queue in its process. */
const CONTESTANTS = {
  wherry: async () => (await import('./contestants/wherry.ts')).open,
  bullmq: async () => (await import('./contestants/bullmq.ts')).open,
  'bee-queue': async () => (await import('./contestants/bee-queue.ts')).open,
  'pg-boss': async () => (await import('./contestants/pg-boss.ts')).open,
  'graphile-worker': async () => (await import('./contestants/graphile-worker.ts')).open,
} satisfies Record<string, () => Promise<Open>>

export type ContestantName = keyof typeof CONTESTANTS

export const CONTESTANT_NAMES: readonly ContestantName[] = Object.keys(
  CONTESTANTS,
) as ContestantName[]

/** Who runs on which ground, in the order of a round. */
export const CONTESTANTS_ON: Readonly<Record<GroundName, readonly ContestantName[]>> = {
  redis: ['wherry', 'bullmq', 'bee-queue'],
  postgres: ['wherry', 'pg-boss', 'graphile-worker'],
  memory: ['wherry'],
  sqlite: ['wherry'],
}

export function contestant(name: ContestantName): Promise<Open> {
  return CONTESTANTS[name]()
}
