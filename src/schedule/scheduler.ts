import type { Companion } from '../companion.ts'
import { messageOf, WherryError } from '../errors.ts'
import type { Job } from '../job.ts'
import { ownStrategy } from '../job-queue.ts'
import type { JobQueueService } from '../job-queue-service.ts'
import type { JobContext } from '../job-queue-strategy.ts'
import { assertJobOptions } from '../kv/job-input.ts'
import { jobOf } from '../kv/job-view.ts'
import type { StrategyInside } from '../kv/kv-job-queue-strategy.ts'
import { placeOf } from '../kv/layout.ts'
import { isSettledState, JobState } from '../lifecycle.ts'
import { assertWhole, refusal, shown } from '../refusal.ts'
import type { StoredRecord } from '../store/store.ts'
import { SubscribableJob } from '../subscribable-job.ts'
import { Ticker } from '../ticker.ts'
import { CronSchedule } from './cron-schedule.ts'
import type { ScheduledTask } from './scheduled-task.ts'
import { TaskLine, type TaskSight } from './task-line.ts'
import type { TaskData, TaskRun } from './task-record.ts'

export interface SchedulerOptions {
  readonly tasks: readonly ScheduledTask[]
  /** The IANA name of the zone of tasks that name none. Default UTC. */
  readonly timezone?: string | undefined
  /** Runs of each task that are remembered, 1 to 100. Default 10. */
  readonly history?: number | undefined
  /**
   * The id of the job of an occurrence. All who tick must agree on it, and no two occurrences share
   * one. Default: the prefix, the task's id and the milliseconds of the instant.
   */
  readonly runId?: ((taskId: string, at: Date) => string) | undefined
}

/** A task as it stands. */
export interface TaskReport {
  readonly id: string
  readonly description: string
  /** The cron text. */
  readonly schedule: string
  readonly timezone: string
  readonly enabled: boolean
  readonly isRunning: boolean
  /** When the last run that came to an end did so; null: none has. */
  readonly lastExecutedAt: Date | null
  /** What that run gave, or `{ error }`; null: nothing. */
  readonly lastResult: unknown
  /** Null while the task is disabled. */
  readonly nextExecutionAt: Date | null
  /** Where the task's runs are jobs. */
  readonly queueName: string
}

/** With no occurrence nearer, to see what others have changed. */
const SLEEP_MS_MAX = 60_000
const TEXT_LENGTH_MAX = 200
/** Runs of a task that may overlap, in one process. */
const OVERLAPPING_MAX = 100
const RUNS_MAX = 100
const MISSED_MAX = 1_000
const TASK_QUEUE = 'task.'

/**
 * Adds a job for each occurrence of its tasks, once, however many processes do so at the same time.
 * Each task has a queue of its own, `task.<id>`, so its runs can be found, retried, cancelled and
 * paused like any job. Works by itself while the service is started; a drain ticks it as well, so
 * that on an edge runtime the platform's cron drives it.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage })
 * const scheduler = new Scheduler(jobs, { tasks: [cleanUp], timezone: 'Europe/Vienna' })
 * await jobs.start()
 * await scheduler.runTask('clean-up') // now, by hand
 * ```
 */
export class Scheduler implements Companion {
  readonly #service: JobQueueService
  readonly #inside: StrategyInside
  readonly #lines: ReadonlyMap<string, TaskLine>
  readonly #ticker: Ticker
  readonly #creating: Promise<unknown>

  /**
   * Touches no store.
   *
   * @throws WherryError `input-invalid` naming the task, when a schedule or a time zone says nothing
   * or two tasks have one id; `unsupported-by-strategy` when the service has a strategy of its own.
   */
  constructor(service: JobQueueService, options: SchedulerOptions) {
    const { inside } = ownStrategy(service.strategy, 'schedule tasks')
    const { tasks, history = 10 } = options
    assertWhole('make a scheduler', 'history', history, 1, RUNS_MAX)
    const schedules = tasks.map((task) => scheduleOf(task, options.timezone))
    const ids = tasks.map(({ id }) => id)
    const twice = ids.find((id, i) => ids.indexOf(id) !== i)
    if (twice !== undefined) throw refusal('make a scheduler', `two tasks are "${twice}"`, 'one')
    const taken = ids.find((id) => service.queue(TASK_QUEUE + id) !== undefined)
    if (taken !== undefined) {
      throw refusal('make a scheduler', `there is a queue "${TASK_QUEUE}${taken}"`, 'another id')
    }
    this.#service = service
    this.#inside = inside
    const { logger } = service
    this.#creating = Promise.all(tasks.map((task) => this.#createQueue(task)))
    // Whoever ticks first hears of it.
    this.#creating.catch(() => {})
    this.#lines = new Map(
      tasks.map((task, i) => {
        const queueName = service.queue(TASK_QUEUE + task.id)?.name ?? TASK_QUEUE + task.id
        const runId = options.runId?.bind(null, task.id) ?? runIdOf(queueName, task.id)
        const schedule = schedules[i] as CronSchedule
        const line = { task, schedule, queueName, runId, inside, logger, historyMax: history }
        return [task.id, new TaskLine(line)]
      }),
    )
    this.#ticker = new Ticker({
      clock: inside.clock,
      now: () => inside.session.clock.now(),
      logger,
      what: 'schedule tasks',
      act: () => this.#act(),
      sleepMsMax: SLEEP_MS_MAX,
    })
    service.join(this)
  }

  /** The service's `start` calls it. */
  start(): void {
    this.#ticker.start()
  }

  /** The service's `stop` calls it. */
  stop(): Promise<void> {
    return this.#ticker.stop()
  }

  /**
   * Adds the jobs of the occurrences that are due. `drain()` calls it. Answers when there is one
   * next; null: none is known to come.
   */
  async tick(): Promise<Date | null> {
    const dueAt = await this.#ticker.tick()
    return dueAt === null ? null : new Date(dueAt)
  }

  async getTasks(): Promise<TaskReport[]> {
    return Promise.all([...this.#lines.values()].map((line) => this.#report(line)))
  }

  /** Undefined: no task of that id is known here. */
  async getTask(id: string): Promise<TaskReport | undefined> {
    const line = this.#lines.get(id)
    return line && this.#report(line)
  }

  /**
   * Enables or disables a task, in every process. What falls due while it is disabled is not made up
   * for; a run under way goes on.
   *
   * @throws WherryError `input-invalid` when no task of that id is known here.
   */
  async updateTask({ id, enabled }: { id: string; enabled?: boolean }): Promise<TaskReport> {
    const line = this.#line(id)
    if (enabled !== undefined) await line.setEnabled(enabled)
    this.#ticker.wakeAt(0)
    return this.#report(line)
  }

  /**
   * Runs a task now, though it may be disabled.
   *
   * @throws WherryError `job-unsettled` while a run is not over and the task prevents overlaps.
   */
  async runTask(id: string): Promise<SubscribableJob> {
    const record = await this.#line(id).runNow()
    const { surroundings, clock } = this.#inside
    const { strategy } = this.#service
    return new SubscribableJob(jobOf(record, surroundings), { ...surroundings, clock, strategy })
  }

  /** The last runs of a task, the newest first; one under way is among them. */
  async history(id: string): Promise<TaskRun[]> {
    return [...(await this.#line(id).look()).runs]
  }

  #line(id: string): TaskLine {
    const line = this.#lines.get(id)
    if (line !== undefined) return line
    const known = [...this.#lines.keys()].join(', ')
    throw refusal('use a task', `${shown(id)} is none`, `one of ${known}`)
  }

  async #createQueue(task: ScheduledTask): Promise<void> {
    await this.#service.createQueue({
      name: TASK_QUEUE + task.id,
      concurrency: task.options.preventOverlap === false ? OVERLAPPING_MAX : 1,
      process: (job: Job<TaskData>, context) => this.#run(this.#line(task.id), job, context),
    })
  }

  async #act(): Promise<number | null> {
    await this.#creating
    const lines = [...this.#lines.values()]
    if (lines.length === 0) return null
    const { now, got } = await this.#inside.session.read({ get: lines.map(({ key }) => key) })
    const ticks = lines.map((line, i) => this.#tickLine(line, got[i] ?? null, now))
    const dues = (await Promise.all(ticks)).filter((due) => due !== null)
    return dues.length === 0 ? null : Math.min(...dues)
  }

  /** One task that cannot be read or written must not keep the others from their time. */
  async #tickLine(
    line: TaskLine,
    stored: StoredRecord | null,
    now: number,
  ): Promise<number | null> {
    try {
      return await line.tick(stored, now)
    } catch (error) {
      const { task } = line.options
      this.#service.logger.error('Cannot tick a task; trying again', { error, taskId: task.id })
      return now + 1_000
    }
  }

  async #run(line: TaskLine, job: Job<TaskData>, context: JobContext): Promise<unknown> {
    const { task } = line.options
    const { scheduledAt } = job.data
    await line.enter(String(job.id))
    const { signal, fence, log } = context
    const { params = {} } = task.options
    const run = { jobId: String(job.id), scheduledAt, startedAt: job.startedAt ?? null }
    const note = async (end: Pick<TaskRun, 'state' | 'result' | 'error'>): Promise<void> => {
      // What an attempt that was cut off has come to, its job will tell.
      if (signal.aborted) return
      const settledAt = new Date(this.#inside.session.clock.now())
      await line
        .note({ ...run, ...end, settledAt })
        .catch((error) => log.warn('Cannot note how a run ended', { error }))
    }
    try {
      const result = await task.execute({ params, scheduledAt, signal, fence, log })
      await note({ state: JobState.COMPLETED, result })
      return result
    } catch (error) {
      await note({ state: JobState.FAILED, error: messageOf(error) })
      throw error
    }
  }

  async #report(line: TaskLine): Promise<TaskReport> {
    const { task, schedule, queueName } = line.options
    const sight = await line.look()
    const last = sight.runs.find(({ state }) => isSettledState(state))
    const { enabled, cursor } = sight.record
    const next = enabled ? line.next(Math.max(cursor, sight.now)) : null
    return {
      id: task.id,
      description: task.options.description ?? '',
      schedule: schedule.text,
      timezone: schedule.timezone,
      enabled,
      isRunning: await this.#isRunning(sight, queueName),
      lastExecutedAt: last?.settledAt ?? null,
      lastResult: last?.error === undefined ? (last?.result ?? null) : { error: last.error },
      nextExecutionAt: next === null ? null : new Date(next),
      queueName,
    }
  }

  /** The latest run, or with overlaps any. */
  async #isRunning({ latest }: TaskSight, queueName: string): Promise<boolean> {
    if (latest?.life.state === JobState.RUNNING) return true
    const { counts } = await this.#inside.session.read({ counts: [placeOf('lease', queueName)] })
    return (counts[0] ?? 0) > 0
  }
}

function scheduleOf(task: ScheduledTask, zone: string | undefined): CronSchedule {
  const { timezone, weekdays, retries, missedRunsMax = 1 } = task.options
  const action = `schedule task "${task.id}"`
  assertWhole(action, 'missedRunsMax', missedRunsMax, 1, MISSED_MAX)
  const text = task.schedule
  if (typeof text !== 'string' || text.length > TEXT_LENGTH_MAX) {
    throw refusal(action, `its schedule is ${shown(text)}`, `at most ${TEXT_LENGTH_MAX} characters`)
  }
  try {
    // Not at each of its times, in the log.
    assertJobOptions({ retries, timeout: task.timeoutMs })
    return new CronSchedule(text, { timezone: timezone || zone, weekdays })
  } catch (cause) {
    throw new WherryError('input-invalid', `Cannot ${action}. ${messageOf(cause)}`, { cause })
  }
}

/** With the prefix in the ids of a task's jobs two systems in one store keep apart. */
function runIdOf(queueName: string, taskId: string): (at: Date) => string {
  const prefix = queueName.slice(0, -TASK_QUEUE.length - taskId.length)
  const escaped = prefix.replaceAll(
    /[^A-Za-z0-9]/g,
    (char) => `_${char.charCodeAt(0).toString(16)}`,
  )
  const start = escaped === '' ? `${taskId}-` : `${escaped}_-${taskId}-`
  if (start.length <= ID_START_MAX) return (at) => `${start}${at.getTime()}`
  const is = `the prefix and the id of task "${taskId}" have ${start.length} characters`
  throw refusal('make a scheduler', is, `at most ${ID_START_MAX}`, 'name-invalid')
}

/** An id has 64 characters, and thirteen or more of them are milliseconds. */
const ID_START_MAX = 50
