/** What an app may add to a service beside its queues; whoever does not pays nothing for it. */
import type { Job } from './job.ts'
import type { JobOptions } from './job-queue-strategy.ts'
import type { SubscribableJob } from './subscribable-job.ts'

/** Works beside the queues of a service: a `Scheduler`, or `JobBuffers`. */
export interface Companion {
  /** Begins to tick by itself, until `stop`. */
  start(): void
  stop(): Promise<void>
  /**
   * Does what is due. Answers when there is something to do next; null: nothing is known to come.
   * Never rejects.
   */
  tick(): Promise<Date | null>
}

/** Keeps jobs back and folds them together, such as a thousand updates of one search index. */
// biome-ignore lint/suspicious/noExplicitAny: as with Job
export interface JobBuffer<Data = any> {
  readonly id: string
  /** Whether the buffer keeps this job back. It is asked at each add, in the process that adds. */
  collect(job: Job<Data>): boolean | Promise<boolean>
  /** Makes the jobs that are enqueued of those that were collected. If it throws, these are taken. */
  reduce(jobs: Job<Data>[]): Job<Data>[] | Promise<Job<Data>[]>
  /** Flushes by itself so many ms after the first job that it holds. Default: never. */
  readonly flushAfterMs?: number | undefined
  /** Flushes by itself when it holds so many jobs. Default: never. */
  readonly flushAtSize?: number | undefined
}

/** What a service hands its buffers' work to. */
export interface Buffering {
  /** Undefined: no buffer keeps the job back. */
  offer(job: Job, options: JobOptions): Promise<SubscribableJob | undefined>
  addBuffer(buffer: JobBuffer): void
  removeBuffer(buffer: JobBuffer): void
  bufferSize(...buffers: (JobBuffer | string)[]): Promise<Record<string, number>>
  flush(...buffers: (JobBuffer | string)[]): Promise<Job[]>
}
