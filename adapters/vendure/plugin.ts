import {
  getConfig,
  PluginCommonModule,
  type RuntimeVendureConfig,
  type ScheduledTask,
  Logger as VendureLog,
  VendurePlugin,
} from '@vendure/core'
import { refusal } from '../../src/refusal.ts'
import { cleanJobsTask } from './clean-jobs-task.ts'
import { Engine } from './engine.ts'
import { WherryJobBufferStorageStrategy } from './job-buffer-storage-strategy.ts'
import { WherryJobQueueStrategy } from './job-queue-strategy.ts'
import type { WherryJobQueueOptions } from './options.ts'
import { WherrySchedulerStrategy } from './scheduler-strategy.ts'
import { LOG_CONTEXT } from './vendure-logger.ts'

/** What a shop's config is given. */
interface Strategies {
  readonly prefix: string | undefined
  readonly queue: WherryJobQueueStrategy
  readonly buffers: WherryJobBufferStorageStrategy
  readonly scheduler: WherrySchedulerStrategy | null
  readonly cleanJobs: ScheduledTask | null
}

const KEEP_SETTLED_DAYS = 30

/**
 * Runs a shop's jobs, and with `scheduler: true` its scheduled tasks, out of a store of wherry's.
 * Leave out the plugins that did so before (`DefaultJobQueuePlugin`, `BullMQJobQueuePlugin`,
 * `DefaultSchedulerPlugin`): of two, the later one in the list wins.
 *
 * @example
 * ```ts
 * plugins: [
 *   WherryJobQueuePlugin.init({ storage: 'redis://localhost:6379', concurrency: 5, scheduler: true }),
 * ]
 * ```
 */
export class WherryJobQueuePlugin {
  static #strategies: Strategies | null = null

  /** Touches no store: that is opened when the app starts. */
  static init(options: WherryJobQueueOptions): typeof WherryJobQueuePlugin {
    const engine = new Engine(options)
    const { prefix, scheduler = false, keepSettledDays = KEEP_SETTLED_DAYS } = options
    const queue = new WherryJobQueueStrategy(engine, options)
    WherryJobQueuePlugin.#strategies = {
      prefix,
      queue,
      cleanJobs: keepSettledDays === false ? null : cleanJobsTask(queue, keepSettledDays),
      buffers: new WherryJobBufferStorageStrategy(engine),
      scheduler: scheduler
        ? new WherrySchedulerStrategy(engine, scheduler === true ? {} : scheduler)
        : null,
    }
    return WherryJobQueuePlugin
  }

  /** Puts the strategies into the shop's config. Vendure calls it. */
  static configure(config: RuntimeVendureConfig): RuntimeVendureConfig {
    const { queue, buffers, scheduler, prefix, cleanJobs } = WherryJobQueuePlugin.#given
    config.jobQueueOptions.jobQueueStrategy = queue
    config.jobQueueOptions.jobBufferStorageStrategy = buffers
    if (prefix !== undefined) config.jobQueueOptions.prefix = prefix
    if (scheduler !== null) config.schedulerOptions.schedulerStrategy = scheduler
    const { tasks } = config.schedulerOptions
    // A shop may have a task of its own for it.
    if (cleanJobs !== null && !tasks.some(({ id }) => id === cleanJobs.id))
      config.schedulerOptions.tasks = [...tasks, cleanJobs]
    return config
  }

  /** Vendure calls it, when what it consists of is initialised. */
  async onApplicationBootstrap(): Promise<void> {
    const { queue, buffers, scheduler } = WherryJobQueuePlugin.#given
    const { jobQueueOptions, schedulerOptions } = getConfig()
    const overridden = [
      jobQueueOptions.jobQueueStrategy !== queue && 'jobQueueOptions.jobQueueStrategy',
      jobQueueOptions.jobBufferStorageStrategy !== buffers &&
        'jobQueueOptions.jobBufferStorageStrategy',
      scheduler !== null &&
        schedulerOptions.schedulerStrategy !== scheduler &&
        'schedulerOptions.schedulerStrategy',
    ].filter((name) => name !== false)
    for (const name of overridden) {
      const remedy = 'leave that plugin out, or list it before this one'
      VendureLog.warn(`Another plugin has replaced ${name}: ${remedy}`, LOG_CONTEXT)
    }
    await scheduler?.appIsUp()
  }

  static get #given(): Strategies {
    if (WherryJobQueuePlugin.#strategies !== null) return WherryJobQueuePlugin.#strategies
    throw refusal('use WherryJobQueuePlugin', 'it has no options', 'WherryJobQueuePlugin.init(…)')
  }
}

// A decorator, called as the function that it is: these sources run without a compiler.
VendurePlugin({
  imports: [PluginCommonModule],
  compatibility: '^3.7.0',
  configuration: (config) => WherryJobQueuePlugin.configure(config),
})(WherryJobQueuePlugin)
