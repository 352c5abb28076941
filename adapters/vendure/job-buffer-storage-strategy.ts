import {
  type Injector,
  type JobBufferStorageStrategy,
  JobQueueService,
  type Job as VendureJob,
} from '@vendure/core'
import { StoreJobBufferStorageStrategy } from '../../src/buffer/store-job-buffer-storage.ts'
import { refusal } from '../../src/refusal.ts'
import type { Engine } from './engine.ts'
import { vendureLogger } from './vendure-logger.ts'

/**
 * Keeps a shop's buffered jobs in a store of ours. Between a flush and the adds that follow it they
 * are in no store but in Vendure's hands alone: a process that dies there loses them, as with any
 * storage behind this port.
 */
export class WherryJobBufferStorageStrategy implements JobBufferStorageStrategy {
  readonly #engine: Engine
  #storage: StoreJobBufferStorageStrategy | null = null
  #injector: Injector | null = null

  constructor(engine: Engine) {
    this.#engine = engine
  }

  async init(injector: Injector): Promise<void> {
    this.#injector = injector
    await this.#engine.acquire()
  }

  async destroy(): Promise<void> {
    this.#storage = null
    await this.#engine.release()
  }

  async add(bufferId: string, job: VendureJob): Promise<VendureJob> {
    const { translation } = this.#engine.open
    await this.#open.add(this.#scoped(bufferId), translation.toStored(job))
    return job
  }

  async bufferSize(bufferIds?: string[]): Promise<{ [bufferId: string]: number }> {
    return this.#each(bufferIds, async (id, scoped) => {
      const { [scoped]: size = 0 } = await this.#open.bufferSize([scoped])
      return [id, size]
    })
  }

  async flush(bufferIds?: string[]): Promise<{ [bufferId: string]: VendureJob[] }> {
    const { translation } = this.#engine.open
    return this.#each(bufferIds, async (id, scoped) => {
      const { [scoped]: jobs = [] } = await this.#open.flush([scoped])
      return [id, jobs.map((job) => translation.toBuffered(job))]
    })
  }

  get #open(): StoreJobBufferStorageStrategy {
    this.#storage ??= new StoreJobBufferStorageStrategy(this.#engine.open.strategy, vendureLogger)
    return this.#storage
  }

  async #each<T>(
    bufferIds: readonly string[] = [],
    entryOf: (id: string, scoped: string) => Promise<[string, T]>,
  ): Promise<Record<string, T>> {
    const ids = bufferIds.length > 0 ? bufferIds : this.#registered()
    return Object.fromEntries(await Promise.all(ids.map((id) => entryOf(id, this.#scoped(id)))))
  }

  /** None named are all. Of those Vendure drops what it has no buffer for, so they stay with us. */
  #registered(): string[] {
    const service = this.#injector?.get(JobQueueService) as unknown as Registry | undefined
    const buffers = service?.jobBufferService?.buffers
    if (buffers !== undefined) return [...buffers].map(({ id }) => id)
    throw refusal('flush all buffers', 'this Vendure does not say which there are', 'their ids')
  }

  #scoped(bufferId: string): string {
    return `${this.#engine.open.prefix}${bufferId}`
  }
}

/** Where Vendure has the buffers of a process; it has no other way to ask for them. */
interface Registry {
  readonly jobBufferService?: { readonly buffers?: Iterable<{ readonly id: string }> }
}
