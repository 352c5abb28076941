import { WherryError } from './errors.ts'
import type { Job, JobId } from './job.ts'
import type { JobListOptions, JobPage } from './job-list.ts'
import type { Logger } from './logger.ts'

/** What a handler is given beside its job. */
export interface JobContext {
  /**
   * Aborts when the job is cancelled, runs into its timeout, loses its lease, or must make way for a
   * shutdown. `signal.reason` says which.
   */
  readonly signal: AbortSignal
  /**
   * Grows with every attempt at this job, over all workers. Hand it to what you write to, and let
   * that refuse smaller numbers: a worker that was cut off cannot overwrite its successor then.
   */
  readonly fence: number
  /** The service's logger, with the job's id and queue in every line. */
  readonly log: Logger
}

/** Code that does a job. What it returns becomes the job's `result`. */
// biome-ignore lint/suspicious/noExplicitAny: the bare strategy port knows no payload types
export type ProcessJob<Data = any, Result = unknown> = (
  job: Job<Data>,
  context: JobContext,
) => Promise<Result> | Result

/** Options of one added job. */
export interface JobOptions {
  /** Attempts beyond the first. Default 0. */
  readonly retries?: number | undefined
  /** Milliseconds to wait before the first attempt. Default 0. */
  readonly delay?: number | undefined
  /** When to run first; instead of `delay`. */
  readonly runAt?: Date | undefined
  /** From −2047 to 2047, the highest first. Default 0. */
  readonly priority?: number | undefined
  /**
   * An id of your own, 1–64 of A-Z, a-z, 0-9, "_" and "-". A second job of the same id is refused
   * with `id-taken`, so an add can be repeated.
   */
  readonly id?: string | undefined
  /** Milliseconds after which an attempt is aborted and has failed. Default: none. */
  readonly timeout?: number | undefined
}

/** Where jobs go and who runs them: Vendure's port, for people who bring their own. */
export interface JobQueueStrategy {
  /** Stores a job and answers it with its id. */
  add<Data>(job: Job<Data>, options?: JobOptions): Promise<Job<Data>>
  /** Begins to run jobs of the queue, until `stop`. */
  start(queueName: string, process: ProcessJob): Promise<void>
  /** Stops running jobs of the queue; those under way are finished or given back. */
  stop(queueName: string, process: ProcessJob): Promise<void>
}

/** A strategy whose jobs can be looked at. */
export interface InspectableJobQueueStrategy extends JobQueueStrategy {
  findOne(id: JobId): Promise<Job | undefined>
  findMany(options?: JobListOptions): Promise<JobPage>
  findManyById(ids: readonly JobId[]): Promise<Job[]>
  /** Answers how many it removed. No queues, or none named: all. No date: all that are settled now. */
  removeSettledJobs(queueNames?: readonly string[], olderThan?: Date): Promise<number>
  /** Answers the job as it is then; undefined when there is none. */
  cancelJob(id: JobId): Promise<Job | undefined>
}

export function isInspectableJobQueueStrategy(
  strategy: JobQueueStrategy,
): strategy is InspectableJobQueueStrategy {
  const methods = ['findOne', 'findMany', 'findManyById', 'removeSettledJobs'] as const
  return methods.every(
    (name) => typeof (strategy as Partial<InspectableJobQueueStrategy>)[name] === 'function',
  )
}

/** @throws WherryError `unsupported-by-strategy`. */
export function inspectable(
  strategy: JobQueueStrategy,
  action: string,
): InspectableJobQueueStrategy {
  if (isInspectableJobQueueStrategy(strategy)) return strategy
  throw new WherryError(
    'unsupported-by-strategy',
    `Cannot ${action}: the strategy is not inspectable`,
  )
}
