import type { Job } from '../job.ts'

/**
 * Where buffered jobs wait: Vendure's port, for people who bring their own. Whatever `flush` answers
 * is no longer in the storage, so a process that dies then loses it; without such a storage jobs
 * wait in the service's own store, and none is lost.
 */
export interface JobBufferStorageStrategy {
  add(bufferId: string, job: Job): Promise<Job>
  /** No ids, or none named: all. */
  bufferSize(bufferIds?: readonly string[]): Promise<Record<string, number>>
  /** Empties these buffers, and answers what they held, the oldest first. No ids, or none named: all. */
  flush(bufferIds?: readonly string[]): Promise<Record<string, Job[]>>
}

/** Keeps buffered jobs in this process and nowhere else. */
export class InMemoryJobBufferStorageStrategy implements JobBufferStorageStrategy {
  readonly #jobs = new Map<string, Job[]>()

  async add(bufferId: string, job: Job): Promise<Job> {
    const jobs = this.#jobs.get(bufferId) ?? []
    jobs.push(job)
    this.#jobs.set(bufferId, jobs)
    return job
  }

  async bufferSize(bufferIds?: readonly string[]): Promise<Record<string, number>> {
    return Object.fromEntries(
      this.#ids(bufferIds).map((id) => [id, this.#jobs.get(id)?.length ?? 0]),
    )
  }

  async flush(bufferIds?: readonly string[]): Promise<Record<string, Job[]>> {
    const ids = this.#ids(bufferIds)
    const flushed = Object.fromEntries(ids.map((id) => [id, this.#jobs.get(id) ?? []]))
    for (const id of ids) this.#jobs.delete(id)
    return flushed
  }

  #ids(bufferIds: readonly string[] = []): readonly string[] {
    return bufferIds.length > 0 ? bufferIds : [...this.#jobs.keys()]
  }
}
