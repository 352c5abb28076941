import type { Clock } from '../clock.ts'
import { configOf, Job } from '../job.ts'
import type { JobOptions, JobQueueStrategy } from '../job-queue-strategy.ts'
import { assertJobOptions } from '../kv/job-input.ts'
import type { Logger } from '../logger.ts'
import { refusal } from '../refusal.ts'
import type { BufferBackend, BufferSight, Reduce } from './buffer-backend.ts'
import type { JobBufferStorageStrategy } from './job-buffer-storage.ts'

export interface ForeignBuffersOptions {
  readonly storage: JobBufferStorageStrategy
  readonly strategy: JobQueueStrategy
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
}

/** Buffers in a storage of someone else's, whose flush is a read and a delete in one. */
export class ForeignBuffers implements BufferBackend {
  readonly #options: ForeignBuffersOptions
  /** When this process first added to each buffer since its last flush. */
  readonly #firstAt = new Map<string, number>()

  constructor(options: ForeignBuffersOptions) {
    this.#options = options
  }

  now(): number {
    return this.#options.clock.now()
  }

  /** What a storage of jobs keeps is what a job holds. */
  async add(bufferId: string, job: Job, options: JobOptions): Promise<void> {
    assertJobOptions(options)
    const { priority = job.priority, delay } = options
    if (options.id !== undefined || options.timeout !== undefined) {
      const is = `the storage of buffer "${bufferId}" keeps no id or timeout`
      throw refusal('buffer a job', is, 'neither, or no storage', 'unsupported-by-store')
    }
    const runAt = delay ? new Date(this.now() + delay) : (options.runAt ?? job.runAt)
    await this.#keep(bufferId, new Job({ ...configOf(job), priority, runAt }, this.#options))
  }

  async #keep(bufferId: string, job: Job): Promise<void> {
    await this.#options.storage.add(bufferId, job)
    if (!this.#firstAt.has(bufferId)) this.#firstAt.set(bufferId, this.now())
  }

  sizes(bufferIds: readonly string[]): Promise<Record<string, number>> {
    return this.#options.storage.bufferSize(bufferIds)
  }

  async look(bufferIds: readonly string[]): Promise<BufferSight[]> {
    return bufferIds.map((id) => ({ oldestAt: this.#firstAt.get(id) ?? null, isCutOff: false }))
  }

  async flush(bufferId: string, reduce: Reduce): Promise<Job[]> {
    const { storage, strategy, logger } = this.#options
    this.#firstAt.delete(bufferId)
    const { [bufferId]: jobs = [] } = await storage.flush([bufferId])
    if (jobs.length === 0) return []
    const left = [...(await reduceOrKeep(jobs, reduce, logger, bufferId))]
    const added: Job[] = []
    try {
      for (let job = left[0]; job !== undefined; job = left[0]) {
        added.push(await strategy.add(job))
        left.shift()
      }
    } catch (error) {
      // What could not be enqueued waits for the next flush.
      await Promise.allSettled(left.map((job) => this.#keep(bufferId, job)))
      throw error
    }
    return added
  }
}

/** A reduction that fails must not cost a job. */
export async function reduceOrKeep(
  jobs: Job[],
  reduce: Reduce,
  logger: Logger,
  bufferId: string,
): Promise<readonly Job[]> {
  try {
    return await reduce([...jobs])
  } catch (error) {
    logger.error('A buffer could not reduce its jobs; they are enqueued as they are', {
      error,
      bufferId,
    })
    return jobs
  }
}
