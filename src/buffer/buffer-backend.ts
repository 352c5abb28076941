import type { Job } from '../job.ts'
import type { JobOptions } from '../job-queue-strategy.ts'

export type Reduce = (jobs: Job[]) => Job[] | Promise<Job[]>

/** A buffer as it stands. */
export interface BufferSight {
  /** When its oldest job came, in ms since 1970; null: it is empty. */
  readonly oldestAt: number | null
  /** Whether someone began to flush it and has not finished. */
  readonly isCutOff: boolean
}

/** Where `JobBuffers` keep jobs, and how those become jobs of a queue. */
export interface BufferBackend {
  /** Now, on the clock of `oldestAt`. */
  now(): number
  add(bufferId: string, job: Job, options: JobOptions): Promise<void>
  sizes(bufferIds: readonly string[]): Promise<Record<string, number>>
  look(bufferIds: readonly string[]): Promise<BufferSight[]>
  /** Enqueues what `reduce` makes of the jobs that were there when it was called. */
  flush(bufferId: string, reduce: Reduce): Promise<Job[]>
}
