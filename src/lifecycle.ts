/**
 * The life of a job in one pure function: no clock, no store, no I/O. `docs/lifecycle.md` draws it.
 */

/** Vendure's six states: a constant object beside a type, so that the sources run unbuilt. */
export const JobState = {
  PENDING: 'PENDING',
  RUNNING: 'RUNNING',
  COMPLETED: 'COMPLETED',
  RETRYING: 'RETRYING',
  FAILED: 'FAILED',
  CANCELLED: 'CANCELLED',
} as const
export type JobState = (typeof JobState)[keyof typeof JobState]

/** Who may work on a job, and until when. */
export interface Lease {
  /** A nonce of the claim call, by which a claimer knows its own claim again. */
  readonly owner: string
  /** The deadline on the store's clock, in ms since 1970. */
  readonly until: number
  /** How long each renewal makes it, in ms. */
  readonly lengthMs: number
}

/** All of a job that changes in its life, except its result. Times are ms since 1970. */
export interface JobLife {
  readonly state: JobState
  /** Attempts beyond the first that it may have. */
  readonly retries: number
  /** Attempts that were started and count; a lapse or a deferral gives its attempt back. */
  readonly attempts: number
  /** Attempts that ended because their holder vanished. */
  readonly lapses: number
  /** 0 to 100. */
  readonly progress: number
  /** Not before this time: what the adder asked for, or the end of the back-off. */
  readonly runAt: number | null
  readonly startedAt: number | null
  readonly settledAt: number | null
  readonly error: string | undefined
  /** Grows with each claim, over deletes and restores too; 0 before the first. */
  readonly fence: number
  /** Held from a claim until the job is settled, given back or lapsed. */
  readonly lease: Lease | null
}

export type JobEvent =
  /** An attempt begins; with a lease when a store keeps the job. */
  | { readonly type: 'started'; readonly at: number; readonly lease?: Lease }
  /** Its adder keeps it to itself without having begun. To the outside it stays PENDING. */
  | { readonly type: 'held'; readonly at: number; readonly lease: Lease }
  | { readonly type: 'renewed'; readonly until: number }
  | { readonly type: 'progressed'; readonly progress: number }
  | { readonly type: 'completed'; readonly at: number }
  | {
      readonly type: 'failed'
      readonly at: number
      readonly error: string
      readonly retryAt: number
    }
  /** Its holder gives it back unharmed; not to run again before `until`, if that is said. */
  | { readonly type: 'deferred'; readonly until?: number }
  /** Its holder has vanished. */
  | { readonly type: 'lapsed'; readonly at: number; readonly maxLapses: number }
  /** Its holder, who does so, has stopped already. */
  | { readonly type: 'cancelled'; readonly at: number; readonly byHolder?: true }
  /** The holder of a cancelled job has stopped. */
  | { readonly type: 'acknowledged' }
  /** Someone asks for a settled job to run again. */
  | { readonly type: 'retried'; readonly at: number }

const SETTLED: ReadonlySet<JobState> = new Set(['COMPLETED', 'FAILED', 'CANCELLED'])

export function isSettledState(state: JobState): boolean {
  return SETTLED.has(state)
}

/** What the event makes of the job; null when it does not apply, and so changes nothing. */
export function transition(life: JobLife, event: JobEvent): JobLife | null {
  const rule = RULES[event.type] as (life: JobLife, event: JobEvent) => JobLife | null
  return rule(life, event)
}

type Rules = {
  readonly [Type in JobEvent['type']]: (
    life: JobLife,
    event: JobEvent & { readonly type: Type },
  ) => JobLife | null
}

const RULES: Rules = {
  started(life, { at, lease = null }) {
    if (!isWaiting(life)) return null
    // A held job has its fence already: it was claimed once, and the start belongs to that claim.
    const held = life.lease !== null && life.lease.owner === lease?.owner
    const fence = held ? life.fence : nextFence(life, at)
    return { ...life, state: 'RUNNING', attempts: life.attempts + 1, startedAt: at, fence, lease }
  },

  held(life, { at, lease }) {
    if (!isWaiting(life) || life.lease !== null) return null
    return { ...life, lease, fence: nextFence(life, at) }
  },

  renewed(life, { until }) {
    if (life.lease === null || isSettledState(life.state)) return null
    return { ...life, lease: { ...life.lease, until } }
  },

  progressed(life, { progress }) {
    return isSettledState(life.state) ? null : { ...life, progress: clampProgress(progress) }
  },

  completed(life, { at }) {
    if (isSettledState(life.state)) return null
    return { ...settled(life, 'COMPLETED', at), progress: 100, error: undefined, lease: null }
  },

  failed(life, { at, error, retryAt }) {
    if (life.state !== 'RUNNING') return null
    const over = { ...life, error, progress: 0, lease: null }
    if (life.retries >= life.attempts) return { ...over, state: 'RETRYING', runAt: retryAt }
    return settled(over, 'FAILED', at)
  },

  deferred(life, { until: runAt = life.runAt }) {
    if (life.state === 'RUNNING') return { ...givenBack(life), runAt }
    return isWaiting(life) && life.lease !== null ? { ...life, lease: null } : null
  },

  // Lapses are counted apart from retries: a deploy must fail no job that has no retries, and a
  // job that kills its worker must not run for ever.
  lapsed(life, { at, maxLapses }) {
    if (life.lease === null) return null
    if (life.state !== 'RUNNING') return { ...life, lease: null }
    const lapses = life.lapses + 1
    if (lapses <= maxLapses) return { ...givenBack(life), lapses }
    const error = `Stalled: its worker vanished ${lapses} times, at most ${maxLapses} were allowed`
    return { ...settled(life, 'FAILED', at), lapses, error, lease: null }
  },

  // The lease of a running job stays until its holder has stopped or the lease has ended.
  cancelled(life, { at, byHolder = false }) {
    if (isSettledState(life.state)) return null
    const lease = life.state === 'RUNNING' && !byHolder ? life.lease : null
    return { ...settled(life, 'CANCELLED', at), lease }
  },

  acknowledged(life) {
    return life.state === 'CANCELLED' && life.lease !== null ? { ...life, lease: null } : null
  },

  retried(life, { at }) {
    if (!isSettledState(life.state) || life.lease !== null) return null
    const afresh = { attempts: 0, lapses: 0, progress: 0, startedAt: null, settledAt: null }
    return { ...life, ...afresh, state: 'PENDING', runAt: at, error: undefined }
  },
}

function isWaiting({ state }: JobLife): boolean {
  return state === 'PENDING' || state === 'RETRYING'
}

/** Above every earlier fence of this job, and above those of a deleted job of the same id. */
function nextFence(life: JobLife, at: number): number {
  return Math.max(life.fence + 1, at)
}

function settled(life: JobLife, state: JobState, at: number): JobLife {
  return { ...life, state, settledAt: at }
}

function givenBack(life: JobLife): JobLife {
  return { ...life, state: 'PENDING', attempts: Math.max(0, life.attempts - 1), lease: null }
}

/** From 0 to 100; what is not a number is 0. */
export function clampProgress(progress: number): number {
  return Number.isNaN(Number(progress)) ? 0 : Math.min(100, Math.max(0, Number(progress)))
}
