/**
 * A job queue that runs on Node, Deno, Bun and Cloudflare Workers, and keeps its jobs in the
 * key-value store you already have.
 *
 * @example
 * ```ts
 * import { JobQueueService } from 'wherry'
 *
 * const jobs = new JobQueueService()
 * const double = await jobs.createQueue({ name: 'double', process: (job: Job<number>) => job.data * 2 })
 * await jobs.start()
 * const job = await double.add(21)
 * await job.wait() // 42
 * await jobs.stop()
 * ```
 *
 * @module
 */
export { type BackoffStrategy, type ExponentialBackoff, exponentialBackoff } from './back-off.ts'
export {
  InMemoryJobBufferStorageStrategy,
  type JobBufferStorageStrategy,
} from './buffer/job-buffer-storage.ts'
export { JobBuffers, type JobBuffersOptions } from './buffer/job-buffers.ts'
export type { Clock, Random } from './clock.ts'
export type { Buffering, Companion, JobBuffer } from './companion.ts'
export { LeaseLostError, WherryError, type WherryErrorCode } from './errors.ts'
export {
  InMemoryJobQueueStrategy,
  type InMemoryJobQueueStrategyOptions,
} from './in-memory-job-queue-strategy.ts'
export {
  Job,
  type JobConfig,
  type JobEventListener,
  type JobEventType,
  type JobId,
  type JobJson,
} from './job.ts'
export type {
  JobFilterParameter,
  JobListOptions,
  JobPage,
  JobSortParameter,
  SortOrder,
} from './job-list.ts'
export { type CreateQueueOptions, JobQueue } from './job-queue.ts'
export { JobQueueService, type JobQueueServiceOptions } from './job-queue-service.ts'
export {
  type InspectableJobQueueStrategy,
  isInspectableJobQueueStrategy,
  type JobContext,
  type JobOptions,
  type JobQueueStrategy,
  type ProcessJob,
} from './job-queue-strategy.ts'
export type { DrainOptions, DrainReport } from './kv/drain.ts'
export {
  type Attachment,
  KvJobQueueStrategy,
  type KvJobQueueStrategyOptions,
  type OnAdd,
  type PerQueue,
} from './kv/kv-job-queue-strategy.ts'
export { JobState } from './lifecycle.ts'
export { consoleLogger, type Logger, silentLogger } from './logger.ts'
export {
  PollingJobQueueStrategy,
  type PollingJobQueueStrategyConfig,
} from './polling-job-queue-strategy.ts'
export { CronSchedule, type WeekdayNumbers } from './schedule/cron-schedule.ts'
export type { CronTime } from './schedule/cron-time.ts'
export {
  type MissedRuns,
  ScheduledTask,
  type ScheduledTaskConfig,
  type TaskArguments,
  type TaskConfiguration,
} from './schedule/scheduled-task.ts'
export { Scheduler, type SchedulerOptions, type TaskReport } from './schedule/scheduler.ts'
export type { TaskRun } from './schedule/task-record.ts'
export { weekdayNames } from './schedule/weekday-names.ts'
export { createMemoryStore, type MemoryStoreOptions } from './store/memory-store.ts'
export type * from './store/store.ts'
export { createUnstorageStore, type UnstorageStoreOptions } from './store/unstorage-store.ts'
export {
  type JobUpdate,
  type JobUpdateObserver,
  type JobUpdateOptions,
  type JobUpdates,
  SubscribableJob,
  type WaitOptions,
} from './subscribable-job.ts'
