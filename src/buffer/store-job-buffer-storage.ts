import type { Job } from '../job.ts'
import type { KvJobQueueStrategy } from '../kv/kv-job-queue-strategy.ts'
import type { Logger } from '../logger.ts'
import type { JobBufferStorageStrategy } from './job-buffer-storage.ts'
import { StoreBuffers } from './store-buffers.ts'

/**
 * Vendure's port of a buffer storage on the store of a strategy, for whoever flushes buffers himself.
 * Two that flush at once are never given the same job; what is added meanwhile waits for the next
 * flush. What `flush` answers is in the store no longer, as the port wants it: `JobBuffers` without
 * a storage has no such gap.
 */
export class StoreJobBufferStorageStrategy implements JobBufferStorageStrategy {
  readonly #buffers: StoreBuffers
  readonly #announced = new Set<string>()

  constructor(strategy: KvJobQueueStrategy, logger: Logger) {
    this.#buffers = new StoreBuffers(strategy.inside, logger)
  }

  async add(bufferId: string, job: Job): Promise<Job> {
    if (!this.#announced.has(bufferId)) await this.#buffers.announce(bufferId)
    this.#announced.add(bufferId)
    await this.#buffers.add(bufferId, job, {})
    return job
  }

  async bufferSize(bufferIds?: readonly string[]): Promise<Record<string, number>> {
    return this.#buffers.sizes(await this.#ids(bufferIds))
  }

  async flush(bufferIds?: readonly string[]): Promise<Record<string, Job[]>> {
    const flushed: Record<string, Job[]> = {}
    for (const id of await this.#ids(bufferIds)) flushed[id] = await this.#buffers.take(id)
    return flushed
  }

  async #ids(bufferIds: readonly string[] = []): Promise<readonly string[]> {
    return bufferIds.length > 0 ? bufferIds : this.#buffers.names()
  }
}
