import type { BackoffStrategy, Job } from '@vendure/core'
import type { JobOptions, KvJobQueueStrategyOptions, MissedRuns, PerQueue } from '../../src/main.ts'
import type { StorageGiven } from '../runtime/open-store.ts'

/** What of a job may be asked for beside its retries. */
export type AddedJobOptions = Pick<JobOptions, 'delay' | 'runAt' | 'priority' | 'timeout'>

export interface SchedulerSettings {
  /** What becomes of occurrences that no worker was there to begin. Default `last`. */
  readonly missedRuns?: MissedRuns | undefined
}

export interface WherryJobQueueOptions
  extends Pick<
    KvJobQueueStrategyOptions,
    | 'concurrency'
    | 'claimAheadMs'
    | 'leaseMs'
    | 'pollInterval'
    | 'gracefulShutdownTimeout'
    | 'maxLapses'
  > {
  /**
   * Where jobs, buffers and what became of scheduled tasks are kept: a URL (`redis://…`,
   * `postgres://…`, `sqlite:./jobs.db`), an unstorage driver, a `Storage` or a `Store`. Server and
   * workers need one that processes can share. Opened when the app starts, not before.
   */
  readonly storage: StorageGiven
  /** Jobs of a queue that run at once in each worker. Default 1. */
  readonly concurrency?: PerQueue<number> | undefined
  /**
   * Whether scheduled tasks run by wherry too; leave out the `DefaultSchedulerPlugin` then. Default
   * false.
   */
  readonly scheduler?: boolean | SchedulerSettings | undefined
  /** Sets `jobQueueOptions.prefix`, so that two shops can share a store. Default: what is set there. */
  readonly prefix?: string | undefined
  /** Overrides the retries of each added job. */
  readonly setRetries?: ((queueName: string, job: Job) => number) | undefined
  /** Ms from a failed attempt to the next. Default: exponential from 1 s to 1 h, with jitter. */
  readonly backoffStrategy?: BackoffStrategy | undefined
  /** Delay, priority and timeout of each added job: Vendure's own options have none of them. */
  readonly setJobOptions?: ((queueName: string, job: Job) => AddedJobOptions) | undefined
  /**
   * Days that settled jobs are kept, by a scheduled task `clean-jobs`; false: for ever. Default 30.
   */
  readonly keepSettledDays?: number | false | undefined
  /**
   * Whether the request and the session token in a serialised `RequestContext` are stored with a
   * job. Whoever can read the store can then act as whoever caused the job. Default false.
   */
  readonly keepRequest?: boolean | undefined
}
