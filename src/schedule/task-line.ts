import { messageOf, WherryError } from '../errors.ts'
import { Job } from '../job.ts'
import { wakeOf } from '../kv/claim.ts'
import { decodeRecord, type JobRecord, putOfNew } from '../kv/job-record.ts'
import { JOB_PARTS, jobOf } from '../kv/job-view.ts'
import type { StrategyInside } from '../kv/kv-job-queue-strategy.ts'
import { encodeName, jobKey } from '../kv/layout.ts'
import type { Logger } from '../logger.ts'
import type { Put, StoredRecord } from '../store/store.ts'
import type { CronSchedule } from './cron-schedule.ts'
import type { ScheduledTask } from './scheduled-task.ts'
import {
  decodeTask,
  kept,
  putOfTask,
  RUNS_PART,
  runOf,
  runsOf,
  type TaskData,
  type TaskRecord,
  type TaskRun,
  withRun,
} from './task-record.ts'

/** An occurrence that is begun later than this was missed. */
const LATE_MS = 60_000
/** How soon to look again for a run that must wait for the one before. */
const WAIT_MS = 1_000
/** No clock that is right is so far from another: what it dealt with would bar a task for as long. */
const AHEAD_MS = 3_600_000
/** Rebuilds of one change against a record that keeps moving. */
const REBUILDS_MAX = 20

export interface TaskLineOptions {
  readonly task: ScheduledTask
  readonly schedule: CronSchedule
  readonly queueName: string
  /** The id of the job of an occurrence, on which all who tick agree. */
  readonly runId: (at: Date) => string
  readonly inside: StrategyInside
  readonly logger: Logger
  /** Runs that are remembered. */
  readonly historyMax: number
}

/** All that the store says of a task at one moment. */
export interface TaskSight {
  readonly now: number
  readonly stored: StoredRecord | null
  readonly record: TaskRecord
  /** The latest run's job; null: there was none, or it was removed. */
  readonly latest: JobRecord | null
  /** Newest first, with the latest as its job shows it. */
  readonly runs: readonly TaskRun[]
}

/** What became of an occurrence. */
type Outcome = 'added' | 'dealt-with' | 'overlaps' | 'id-taken'

/** One task: its record in the store, and the jobs of its runs. */
export class TaskLine {
  readonly key: string
  readonly #options: TaskLineOptions

  constructor(options: TaskLineOptions) {
    this.#options = options
    this.key = `k/task/${encodeName(options.queueName)}`
  }

  get options(): TaskLineOptions {
    return this.#options
  }

  /** When it is due next, were every occurrence up to then dealt with. */
  next(after: number): number | null {
    return this.#options.schedule.next(after)
  }

  /**
   * Adds the jobs of the occurrences that are due. `stored` is the record as it was at `now`. Answers
   * when there is something to do next.
   */
  async tick(stored: StoredRecord | null, now: number): Promise<number | null> {
    const record = stored === null ? await this.#begin(now) : await this.#within(stored, now)
    if (!record.enabled) return null
    const { task } = this.#options
    const waits = task.options.missedRuns === 'all'
    for (const at of this.#due(record, now)) {
      if ((await this.#add(at, waits)) === 'overlaps' && waits) return now + WAIT_MS
    }
    return this.next(Math.max(record.cursor, now))
  }

  async look(): Promise<TaskSight> {
    const { session } = this.#options.inside
    for (let jobId: string | null = null, rebuild = 0; ; rebuild++) {
      const get = jobId === null ? [this.key] : [this.key, jobKey(jobId)]
      const { now, got } = await session.read({ get, parts: [RUNS_PART, ...JOB_PARTS] })
      const [stored = null, job = null] = got
      const record = stored === null ? this.#fresh(now) : decodeTask(stored)
      if (record.jobId === jobId || rebuild === REBUILDS_MAX) {
        const latest = job && decodeRecord(job)
        return { now, stored, record, latest, runs: this.#runs(stored, latest) }
      }
      jobId = record.jobId
    }
  }

  /** Adds a run at once. */
  async runNow(): Promise<JobRecord> {
    const prepared = await this.#prepare(null)
    const outcome = await this.#change('run', async (sight) => {
      this.#refuseOverlap(sight, prepared.id)
      if (sight.record.jobId === prepared.id) return 'dealt-with'
      return this.#commitRun(sight, prepared, sight.record.cursor)
    })
    if (outcome === 'id-taken') return this.runNow()
    this.#options.inside.announce([prepared])
    return prepared
  }

  /** Makes the job the latest run: one that was retried may have been overtaken by another. */
  async enter(jobId: string): Promise<void> {
    if (this.#options.task.options.preventOverlap === false) return
    await this.#change('run', async (sight) => {
      if (sight.record.jobId === jobId) return 'dealt-with'
      this.#refuseOverlap(sight, jobId)
      return this.#put(sight, { jobId })
    })
  }

  /** Remembers how a run ended, lest its job be removed before anyone looks. */
  async note(run: TaskRun): Promise<void> {
    const { session } = this.#options.inside
    if (session.opened?.guarantee === 'eventual') return
    await this.#change('note a run of', (sight) =>
      this.#put(sight, {}, withRun(sight.runs, kept(run), this.#options.historyMax)),
    )
  }

  /** What fell due while a task was disabled is not made up for. */
  async setEnabled(enabled: boolean): Promise<void> {
    await this.#change('change', async (sight) => {
      if (sight.stored !== null && sight.record.enabled === enabled) return 'dealt-with'
      return this.#put(sight, enabled ? { enabled, cursor: sight.now } : { enabled })
    })
  }

  #due({ cursor, schedule }: TaskRecord, now: number): number[] {
    const { missedRuns = 'last', missedRunsMax = 10 } = this.#options.task.options
    // What another schedule has left undone is not this one's to make up for.
    const catchesUp = missedRuns !== 'skip' && schedule === this.#scheduleText
    const limit = missedRuns === 'all' && catchesUp ? missedRunsMax : 1
    const due = this.#options.schedule.between(cursor, now, limit)
    return catchesUp ? due : due.filter((at) => now - at < LATE_MS)
  }

  get #scheduleText(): string {
    const { text, timezone } = this.#options.schedule
    return `${text} ${timezone}`
  }

  /** A task that is seen for the first time has missed nothing. */
  #fresh(now: number): TaskRecord {
    const schedule = this.#scheduleText
    return { version: null, cursor: now, jobId: null, schedule, enabled: true }
  }

  async #begin(now: number): Promise<TaskRecord> {
    const record = this.#fresh(now)
    await this.#options.inside.session.commit([putOfTask(this.key, record)])
    return record
  }

  /** The record, set back to now if a wrong clock has put it far ahead. */
  async #within(stored: StoredRecord, now: number): Promise<TaskRecord> {
    const record = decodeTask(stored)
    if (record.cursor <= now + AHEAD_MS) return record
    const { task, logger, inside } = this.#options
    logger.warn('A clock was wrong: a task was far ahead of time', { taskId: task.id })
    await inside.session.commit([putOfTask(this.key, { ...record, cursor: now })])
    return { ...record, cursor: now }
  }

  async #add(at: number, waits: boolean, isIdDrawn = false): Promise<Outcome> {
    const { logger, task, queueName } = this.#options
    const prepared = await this.#prepare(at, isIdDrawn)
    const outcome = await this.#change('add a run of', async (sight) => {
      if (sight.record.cursor >= at || !sight.record.enabled) return 'dealt-with'
      if (this.#overlaps(sight, prepared.id)) {
        if (waits) return 'overlaps'
        const skipped = await this.#put(sight, { cursor: at })
        return skipped && 'overlaps'
      }
      return this.#commitRun(sight, prepared, at)
    })
    if (outcome === 'id-taken') return this.#add(at, waits, true)
    if (outcome === 'added') this.#options.inside.announce([prepared])
    if (outcome === 'overlaps' && !waits) {
      const fields = { taskId: task.id, queueName, at: new Date(at) }
      logger.info('A run is skipped: the one before is not over', fields)
    }
    return outcome
  }

  /** The job of an occurrence has an id that all who tick agree on; a run by hand gets any. */
  async #prepare(at: number | null, isIdDrawn = at === null): Promise<JobRecord> {
    const { task, queueName, runId, inside } = this.#options
    const scheduledAt = at === null ? null : new Date(at)
    const data: TaskData = { taskId: task.id, scheduledAt }
    const { retries = 0 } = task.options
    const job = new Job({ queueName, data, retries }, inside.surroundings)
    const id = scheduledAt === null || isIdDrawn ? undefined : runId(scheduledAt)
    const options = { id, timeout: task.timeoutMs }
    const [prepared] = await inside.adder.prepare([{ job, options }])
    return prepared as JobRecord
  }

  /** The record and the job go in one unit, where the store has such. */
  async #commitRun(
    sight: TaskSight,
    prepared: JobRecord,
    cursor: number,
  ): Promise<'added' | 'dealt-with' | 'id-taken' | null> {
    const { session } = this.#options.inside
    // Of two who tick, one finds the other's job. Any other job of its id is a stranger's.
    const isTaken = (found: JobRecord): boolean =>
      cursor === sight.record.cursor
        ? found.nonce !== prepared.nonce
        : found.queueName !== prepared.queueName
    const store = await session.store()
    const now = session.clock.now()
    const put = this.#putOf(sight, { jobId: prepared.id, cursor })
    const job = putOfNew(prepared, now, prepared.parts)
    const wake = wakeOf(prepared, now)
    if (store.guarantee !== 'eventual' && store.limits.unitPuts > 1) {
      if ((await session.commit([put, job], wake)) !== null) return 'added'
      // Refused for the job alone: it exists, and it is the record that stayed behind.
      const { got } = await session.read({ get: [job.key] })
      if (!got[0]) return null
      return isTaken(decodeRecord(got[0])) ? 'id-taken' : this.#follow(put)
    }
    // Job first: whoever dies in between leaves one that a successor finds by its id.
    const { got } = await session.read({ get: [job.key] })
    if (got[0] && isTaken(decodeRecord(got[0]))) return 'id-taken'
    const isNew = !got[0] && (await session.commit([job], wake)) !== null
    return (await this.#follow(put)) && (isNew ? 'added' : 'dealt-with')
  }

  async #follow(put: Put): Promise<'dealt-with' | null> {
    return (await this.#options.inside.session.commit([put])) === null ? null : 'dealt-with'
  }

  async #put(
    sight: TaskSight,
    changes: Partial<TaskRecord>,
    runs?: readonly TaskRun[],
  ): Promise<'added' | null> {
    const put = this.#putOf(sight, changes, runs)
    return (await this.#options.inside.session.commit([put])) === null ? null : 'added'
  }

  #putOf({ record, runs }: TaskSight, changes: Partial<TaskRecord>, newRuns = runs): Put {
    return putOfTask(this.key, { ...record, schedule: this.#scheduleText, ...changes }, newRuns)
  }

  #runs(stored: StoredRecord | null, latest: JobRecord | null): TaskRun[] {
    const runs = runsOf(stored)
    if (latest === null) return runs
    const { inside, historyMax } = this.#options
    return withRun(runs, runOf(jobOf(latest, inside.surroundings)), historyMax)
  }

  #overlaps({ latest }: TaskSight, jobId: string): boolean {
    if (this.#options.task.options.preventOverlap === false) return false
    if (latest === null || latest.id === jobId) return false
    // A cancelled run is over when its handler has stopped.
    return latest.life.settledAt === null || latest.life.lease !== null
  }

  #refuseOverlap(sight: TaskSight, jobId: string): void {
    if (!this.#overlaps(sight, jobId)) return
    throw new WherryError(
      'job-unsettled',
      `Cannot run task "${this.#options.task.id}": its job "${sight.latest?.id}" is ${sight.latest?.life.state}, expected it to be over`,
    )
  }

  /** Tries until a change is stored or not needed; null: the record has moved meanwhile. */
  async #change(
    action: string,
    apply: (sight: TaskSight) => Promise<Outcome | null>,
  ): Promise<Outcome> {
    const { inside, task } = this.#options
    let failure: unknown
    for (let rebuild = 0; rebuild < REBUILDS_MAX; rebuild++) {
      const sight = await this.look()
      try {
        const outcome = await apply(sight)
        if (outcome !== null) return outcome
      } catch (error) {
        // A commit whose answer was lost: the next look tells.
        if (!(error instanceof WherryError) || error.code !== 'store-unavailable') throw error
        failure = error
      }
      if (rebuild > 0) await inside.session.backOff(rebuild)
    }
    throw new WherryError(
      'store-unavailable',
      `Cannot ${action} task "${task.id}": ${messageOf(failure ?? 'its record keeps changing')}`,
      { cause: failure },
    )
  }
}
