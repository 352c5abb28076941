import { isId } from '../job-id.ts'
import type { JobContext } from '../job-queue-strategy.ts'
import { refusal, shown } from '../refusal.ts'
import type { WeekdayNumbers } from './cron-schedule.ts'
import { type CronTime, cronTime } from './cron-time.ts'
import { durationMs } from './duration.ts'

/**
 * What becomes of occurrences that nobody was there to begin: none of them run, the last one does,
 * or all do, one after another, up to `missedRunsMax` of the newest.
 */
export type MissedRuns = 'skip' | 'last' | 'all'

export interface ScheduledTaskConfig<Params = Record<string, unknown>, Result = unknown> {
  /** 1–40 of A-Z, a-z, 0-9, "_" and "-". */
  readonly id: string
  readonly description?: string | undefined
  /** Handed to `execute`. Default `{}`. */
  readonly params?: Params | undefined
  /**
   * A cron text of five fields, or of six with seconds first; or a function that makes one in words:
   * `(cron) => cron.everyDayAt(3, 30)`.
   */
  readonly schedule: string | ((cron: CronTime) => string)
  /** An IANA name. Default: the scheduler's, else UTC. */
  readonly timezone?: string | undefined
  /** `quartz`: numbers for days of the week are as in Cloudflare's triggers, 1 is Sunday. Default `unix`. */
  readonly weekdays?: WeekdayNumbers | undefined
  /** Ms, or a text such as `10s`, after which a run is aborted and has failed. Default 60,000. */
  readonly timeout?: number | string | undefined
  /** Whether no run begins while one is not over, its retries included. Default true. */
  readonly preventOverlap?: boolean | undefined
  /** Default `last`. */
  readonly missedRuns?: MissedRuns | undefined
  /** How many missed runs `all` makes up for, 1 to 1,000. Default 10. */
  readonly missedRunsMax?: number | undefined
  /** Attempts of a run beyond the first. Default 0. */
  readonly retries?: number | undefined
  execute(args: TaskArguments<Params>): Promise<Result> | Result
}

export interface TaskArguments<Params = Record<string, unknown>> extends JobContext {
  readonly params: Params
  /** The instant that the run is for; null: it was asked for by hand. */
  readonly scheduledAt: Date | null
}

/** What `configure` may change. */
export type TaskConfiguration<Params> = Partial<
  Pick<ScheduledTaskConfig<Params>, 'schedule' | 'timeout' | 'params' | 'timezone'>
>

const ID_LENGTH_MAX = 40
const TIMEOUT_MS = 60_000

/**
 * Work that is done at set times.
 *
 * @example
 * ```ts
 * const cleanUp = new ScheduledTask({
 *   id: 'clean-up',
 *   schedule: (cron) => cron.everyDayAt(3, 30),
 *   timezone: 'Europe/Vienna',
 *   params: { days: 30 },
 *   execute: ({ params, signal }) => removeOld(params.days, signal),
 * })
 * ```
 */
// biome-ignore lint/suspicious/noExplicitAny: as with Job
export class ScheduledTask<Params = any, Result = any> {
  readonly id: string
  #options: ScheduledTaskConfig<Params, Result>

  /** @throws WherryError `name-invalid` or `input-invalid`. */
  constructor(options: ScheduledTaskConfig<Params, Result>) {
    const { id, timeout = TIMEOUT_MS } = options
    if (!isId(id) || id.length > ID_LENGTH_MAX) {
      const expected = `1 to ${ID_LENGTH_MAX} of A-Z, a-z, 0-9, "_" and "-"`
      throw refusal('make a task', `its id is ${shown(id)}`, expected, 'name-invalid')
    }
    durationMs(`make task "${id}"`, 'timeout', timeout)
    this.id = id
    this.#options = options
  }

  get options(): ScheduledTaskConfig<Params, Result> {
    return this.#options
  }

  /** The cron text. */
  get schedule(): string {
    const { schedule } = this.#options
    return typeof schedule === 'function' ? schedule(cronTime) : schedule
  }

  /** Ms after which a run is aborted. */
  get timeoutMs(): number {
    return durationMs(`run task "${this.id}"`, 'timeout', this.#options.timeout ?? TIMEOUT_MS)
  }

  /** Changes the task before a scheduler is made of it; what is left out stays. */
  configure(changes: TaskConfiguration<Params>): this {
    const given = Object.entries(changes).filter(([, value]) => value)
    this.#options = { ...this.#options, ...Object.fromEntries(given) }
    return this
  }

  /** Does the work once, here and now, without a queue. */
  async execute(args: TaskArguments<Params>): Promise<Result> {
    return this.#options.execute(args)
  }
}
