import { getConfig } from '@vendure/core'
import {
  JobQueueService,
  KvJobQueueStrategy,
  type KvJobQueueStrategyOptions,
} from '../../src/main.ts'
import { systemClock, systemRandom } from '../../src/system.ts'
import { localStores } from '../runtime/local-stores.ts'
import { openFrom } from '../runtime/open-store.ts'
import { type JobIds, numericIds, TEXT_IDS } from './job-ids.ts'
import { JobTranslation } from './job-translation.ts'
import type { WherryJobQueueOptions } from './options.ts'
import { vendureLogger } from './vendure-logger.ts'

/** All that the strategies of one plugin share while an app lives. */
export interface OpenEngine {
  readonly service: JobQueueService
  readonly strategy: KvJobQueueStrategy
  readonly translation: JobTranslation
  readonly ids: JobIds
  /** Of the names of queues and buffers. */
  readonly prefix: string
}

/**
 * Our own service, behind Vendure's strategies. It opens when the first of them is initialised (or
 * used before that) and closes when the last is destroyed: configs are imported by migrations too,
 * which must touch no store.
 */
export class Engine {
  readonly #options: WherryJobQueueOptions
  #opened: OpenEngine | null = null
  #users = 0

  constructor(options: WherryJobQueueOptions) {
    this.#options = options
  }

  get open(): OpenEngine {
    this.#opened ??= openEngine(this.#options)
    return this.#opened
  }

  /**
   * For a strategy's `init`.
   *
   * @throws WherryError `input-invalid` for a storage that is none, `store-unavailable`.
   */
  async acquire(): Promise<OpenEngine> {
    this.#users++
    try {
      await this.open.service.ping()
      return this.open
    } catch (error) {
      // An app that could not start must not be kept alive by a connection that is still tried.
      await this.release()
      throw error
    }
  }

  /** For a strategy's `destroy`. */
  async release(): Promise<void> {
    this.#users = Math.max(0, this.#users - 1)
    if (this.#users > 0) return
    const opened = this.#opened
    this.#opened = null
    await opened?.service.close()
  }
}

function openEngine(options: WherryJobQueueOptions): OpenEngine {
  const { entityOptions, entityIdStrategy, jobQueueOptions } = getConfig()
  const { prefix = '' } = jobQueueOptions
  // The newer place of the setting comes first, as in Vendure.
  const { primaryKeyType } = entityOptions.entityIdStrategy ?? entityIdStrategy ?? {}
  const ids =
    primaryKeyType === 'uuid' ? TEXT_IDS : numericIds(systemClock.now, systemRandom, prefix)
  const translation = new JobTranslation({ ids, keepRequest: options.keepRequest ?? false })
  const strategy = new KvJobQueueStrategy({
    ...strategyOptions(options, translation),
    newId: ids.newId,
    storage: openFrom(options.storage, localStores(process.env)),
    logger: vendureLogger,
  })
  const service = new JobQueueService({ strategy, prefix, logger: vendureLogger })
  return { service, strategy, translation, ids, prefix }
}

/** Callbacks of the shop are given Vendure's jobs. */
function strategyOptions(
  { setRetries, backoffStrategy, ...options }: WherryJobQueueOptions,
  translation: JobTranslation,
): Omit<KvJobQueueStrategyOptions, 'storage'> {
  const { concurrency, claimAheadMs, leaseMs, pollInterval } = options
  const { gracefulShutdownTimeout, maxLapses } = options
  return {
    concurrency,
    leaseMs,
    pollInterval,
    gracefulShutdownTimeout,
    claimAheadMs,
    maxLapses,
    setRetries: setRetries && ((queueName, job) => setRetries(queueName, translation.toLive(job))),
    backoffStrategy:
      backoffStrategy &&
      ((queueName, attempts, job) => backoffStrategy(queueName, attempts, translation.toLive(job))),
  }
}
