import { createHash } from 'node:crypto'
import {
  ConfigService,
  type Injector,
  ProcessContext,
  type SchedulerStrategy,
  type TaskReport,
  Logger as VendureLog,
  type ScheduledTask as VendureTask,
} from '@vendure/core'
import { messageOf } from '../../src/errors.ts'
import {
  type TaskReport as OwnReport,
  ScheduledTask,
  Scheduler,
  type TaskArguments,
} from '../../src/main.ts'
import { refusal, shown } from '../../src/refusal.ts'
import type { Engine, OpenEngine } from './engine.ts'
import { withJobSignal } from './job-signal.ts'
import { jsonable, storable } from './job-translation.ts'
import type { SchedulerSettings } from './options.ts'
import { LOG_CONTEXT } from './vendure-logger.ts'

type Update = Parameters<SchedulerStrategy['updateTask']>[0]

/** What begins with the first strategy and ends with the last. */
interface Opened {
  readonly injector: Injector
  readonly scheduler: Scheduler
  /** Vendure's ids by ours. */
  readonly ids: ReadonlyMap<string, string>
}

/**
 * Runs a shop's scheduled tasks: each occurrence, and each run by hand, is a job of a queue of the
 * task's own. Vendure's timers, which tick in every worker, are not listened to. Made by
 * `WherryJobQueuePlugin`.
 */
export class WherrySchedulerStrategy implements SchedulerStrategy {
  readonly #engine: Engine
  readonly #settings: SchedulerSettings
  #opened: Opened | null = null
  #appIsUp = false
  /** Tasks whose code runs in this process: it may go on when its run has long failed. */
  readonly #running = new Set<string>()

  constructor(engine: Engine, settings: SchedulerSettings = {}) {
    this.#engine = engine
    this.#settings = settings
  }

  /** @throws WherryError `input-invalid` naming a task whose schedule or timeout says nothing. */
  async init(injector: Injector): Promise<void> {
    const engine = await this.#engine.acquire()
    this.#opened = this.#openScheduler(engine, injector)
    await this.#startWhereTasksRun()
  }

  async destroy(): Promise<void> {
    if (this.#opened === null) return
    this.#opened = null
    this.#appIsUp = false
    await this.#engine.open.service.stop()
    await this.#engine.release()
  }

  /** Tasks may need what other plugins set up when the app starts, so they wait for that. */
  async appIsUp(): Promise<void> {
    this.#appIsUp = true
    await this.#startWhereTasksRun()
  }

  /** With a cron: nothing, for each worker has a timer of Vendure's. Without one: runs the task. */
  executeTask(task: VendureTask): (cron?: unknown) => Promise<void> {
    return async (cron) => {
      if (cron === undefined) await this.triggerTask(task)
    }
  }

  async getTasks(): Promise<TaskReport[]> {
    const reports = await this.#open.scheduler.getTasks()
    return reports.map((report) => this.#shown(report))
  }

  async getTask(id: string): Promise<TaskReport | undefined> {
    const report = await this.#open.scheduler.getTask(ownId(id))
    return report && this.#shown(report)
  }

  /**
   * Runs the task in a worker, though it may be disabled.
   *
   * @throws WherryError `job-unsettled` while a run is not over and the task prevents overlaps.
   */
  async triggerTask({ id }: VendureTask): Promise<void> {
    await this.#open.scheduler.runTask(this.#known(id))
  }

  /** @throws WherryError `input-invalid` when there is no such task. */
  async updateTask({ id, enabled }: Update): Promise<TaskReport> {
    const change = typeof enabled === 'boolean' ? { enabled } : {}
    const { scheduler } = this.#open
    return this.#shown(await scheduler.updateTask({ id: this.#known(id), ...change }))
  }

  #openScheduler({ service, ids }: OpenEngine, injector: Injector): Opened {
    const { tasks } = injector.get(ConfigService).schedulerOptions
    const scheduler = new Scheduler(service, {
      tasks: tasks.map((task) => this.#ownTask(task, injector)),
      timezone: localZone(),
      runId: ids.runId,
    })
    return { injector, scheduler, ids: new Map(tasks.map(({ id }) => [ownId(id), id])) }
  }

  #ownTask(task: VendureTask, injector: Injector): ScheduledTask {
    const { description, schedule, timeout, preventOverlap } = task.options
    return new ScheduledTask({
      id: ownId(task.id),
      description,
      schedule: schedule as ScheduledTask['options']['schedule'],
      timezone: zoneOf(task),
      timeout,
      preventOverlap,
      missedRuns: this.#settings.missedRuns,
      execute: ({ signal }) => this.#execute(task, injector, signal),
    })
  }

  async #execute(
    task: VendureTask,
    injector: Injector,
    signal: TaskArguments['signal'],
  ): Promise<unknown> {
    try {
      if (this.#running.has(task.id) && task.options.preventOverlap !== false) {
        const is = 'a run that was aborted has not stopped'
        throw refusal(`run task "${task.id}"`, is, 'one that heeds jobSignal()', 'job-unsettled')
      }
      this.#running.add(task.id)
      const running = withJobSignal(signal, () => task.execute(injector))
      return storable(await running.finally(() => this.#running.delete(task.id)), 'result')
    } catch (error) {
      const trace = error instanceof Error ? error.stack : undefined
      const message = `Scheduled task "${task.id}" failed: ${messageOf(error)}`
      VendureLog.error(message, LOG_CONTEXT, trace)
      throw error
    }
  }

  get #open(): Opened {
    if (this.#opened !== null) return this.#opened
    throw refusal('schedule tasks', 'the app has not started, or has stopped', 'a running app')
  }

  #known(id: string): string {
    const { ids } = this.#open
    if (ids.has(ownId(id))) return ownId(id)
    throw refusal('use a task', `${shown(id)} is none`, `one of ${[...ids.values()].join(', ')}`)
  }

  async #startWhereTasksRun(): Promise<void> {
    if (!this.#appIsUp || this.#opened === null) return
    const { injector } = this.#opened
    const { runTasksInWorkerOnly } = injector.get(ConfigService).schedulerOptions
    if (runTasksInWorkerOnly && !injector.get(ProcessContext).isWorker) return
    await this.#engine.open.service.start()
  }

  #shown({ id, lastExecutedAt, isRunning, lastResult, enabled }: OwnReport): TaskReport {
    const shownId = this.#open.ids.get(id) ?? id
    const result = jsonable(lastResult, 'result')
    return { id: shownId, lastExecutedAt, isRunning, lastResult: result, enabled }
  }
}

const OWN_ID = /^[A-Za-z0-9_-]{1,40}$/

/** Vendure's ids are free text: what ours cannot be becomes what is left of it, and a digest. */
function ownId(id: string): string {
  if (OWN_ID.test(id)) return id
  const digest = createHash('sha256').update(id).digest('hex').slice(0, 12)
  return `${id.replaceAll(/[^A-Za-z0-9_-]+/g, '-').slice(0, 27)}-${digest}`
}

/** Vendure's timers go by the zone of their process; tasks have one of their own from 3.8 on. */
function zoneOf(task: VendureTask): string | undefined {
  return (task.options as { readonly timezone?: string }).timezone || undefined
}

function localZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone
}
