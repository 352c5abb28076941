import { KvJobQueueStrategy, type KvJobQueueStrategyOptions } from './kv/kv-job-queue-strategy.ts'
import { createMemoryStore } from './store/memory-store.ts'

/** What Vendure's users give it; the other options of `KvJobQueueStrategy` are taken as well. */
export type InMemoryJobQueueStrategyOptions = Omit<KvJobQueueStrategyOptions, 'storage'>

/** Vendure's: a second between attempts, unless a strategy says otherwise. */
const BACK_OFF_MS = 1_000

/**
 * `KvJobQueueStrategy` on a store in this process's memory, made as Vendure's users make it.
 *
 * @example
 * ```ts
 * new JobQueueService({ strategy: new InMemoryJobQueueStrategy({ concurrency: 5 }) })
 * ```
 */
export class InMemoryJobQueueStrategy extends KvJobQueueStrategy {
  /** With two numbers a retry follows at once, as it does in Vendure. */
  constructor(
    options: InMemoryJobQueueStrategyOptions | number = {},
    pollInterval?: KvJobQueueStrategyOptions['pollInterval'],
  ) {
    const given: InMemoryJobQueueStrategyOptions =
      typeof options === 'number'
        ? { concurrency: options, pollInterval, backoffStrategy: () => 0 }
        : { ...options, backoffStrategy: options.backoffStrategy ?? (() => BACK_OFF_MS) }
    super({ ...given, storage: createMemoryStore(given) })
  }
}
