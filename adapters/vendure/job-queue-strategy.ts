import {
  type ID,
  type Injector,
  type InspectableJobQueueStrategy,
  type JobData,
  ProcessContext,
  Job as VendureJob,
  Logger as VendureLog,
} from '@vendure/core'
import { type Job, type JobContext, type JobListOptions, LeaseLostError } from '../../src/main.ts'
import type { Engine } from './engine.ts'
import { withJobSignal } from './job-signal.ts'
import { storable } from './job-translation.ts'
import type { WherryJobQueueOptions } from './options.ts'
import { LOG_CONTEXT } from './vendure-logger.ts'

// Vendure's port has these types without naming them, or from a package that is not ours to import.
type Process = (job: VendureJob) => Promise<unknown>
type ListOptions = Parameters<InspectableJobQueueStrategy['findMany']>[0]
type JobPage = Awaited<ReturnType<InspectableJobQueueStrategy['findMany']>>

/** Runs a shop's jobs out of a store of ours. Made by `WherryJobQueuePlugin`. */
export class WherryJobQueueStrategy implements InspectableJobQueueStrategy {
  readonly #engine: Engine
  readonly #options: WherryJobQueueOptions
  readonly #stopping = new Set<string>()

  constructor(engine: Engine, options: WherryJobQueueOptions) {
    this.#engine = engine
    this.#options = options
  }

  async init(injector: Injector): Promise<void> {
    const { service } = await this.#engine.acquire()
    const { name, guarantee } = await service.ping()
    if (guarantee === 'atomic' || !injector.get(ProcessContext).isWorker) return
    const remedy = 'give it a store that processes share, such as redis:, postgres: or sqlite:'
    VendureLog.warn(`The store "${name}" is for one process: ${remedy}`, LOG_CONTEXT)
  }

  async destroy(): Promise<void> {
    await this.#engine.release()
  }

  /** Stores the job at once. A transaction of its adder's, in `ctx`, is not waited for. */
  async add<Data extends JobData<Data> = object>(job: VendureJob<Data>): Promise<VendureJob<Data>> {
    const { strategy, translation, ids } = this.#engine.open
    const { queueName, data, createdAt } = job
    const stored = translation.toStored(job)
    const added = await strategy.add(stored, this.#options.setJobOptions?.(queueName, job) ?? {})
    const id = ids.shown(added.id)
    return new VendureJob({
      queueName,
      data,
      createdAt,
      retries: added.retries,
      ...(id !== undefined && { id }),
    })
  }

  async start<Data extends JobData<Data> = object>(
    queueName: string,
    process: (job: VendureJob<Data>) => Promise<unknown>,
  ): Promise<void> {
    this.#stopping.delete(queueName)
    await this.#engine.open.strategy.start(queueName, (job, context) =>
      this.#run(process as Process, job, context),
    )
  }

  async stop(queueName: string): Promise<void> {
    this.#stopping.add(queueName)
    await this.#engine.open.strategy.stop(queueName)
  }

  async findOne(id: ID): Promise<VendureJob | undefined> {
    const { service, translation } = this.#engine.open
    const job = await service.findOne(id)
    return job && translation.toShown(job)
  }

  async findMany(options?: ListOptions): Promise<JobPage> {
    const { service, translation } = this.#engine.open
    // GraphQL has null for what is absent; it says nothing there either.
    const { items, totalItems } = await service.findMany(options as JobListOptions | undefined)
    return { items: items.map((job) => translation.toShown(job)), totalItems }
  }

  async findManyById(ids: readonly ID[] = []): Promise<VendureJob[]> {
    const { service, translation } = this.#engine.open
    return (await service.findManyById(ids)).map((job) => translation.toShown(job))
  }

  /** Of the shop's own queues, when it has a prefix and none is named. */
  async removeSettledJobs(queueNames?: string[], olderThan?: Date | null): Promise<number> {
    return this.#engine.open.service.removeSettledJobs(queueNames, olderThan ?? undefined)
  }

  async cancelJob(id: ID): Promise<VendureJob | undefined> {
    const { service, translation } = this.#engine.open
    const job = await service.cancelJob(id)
    return job && translation.toShown(job)
  }

  /** The job that the handler has lives as ours does: what either is told, the other shows. */
  async #run(process: Process, job: Job, { signal }: JobContext): Promise<unknown> {
    const { translation, service } = this.#engine.open
    const live = translation.toLive(job)
    live.on('progress', () => job.setProgress(live.progress))
    signal.addEventListener('abort', () => {
      if (!this.#isGivenBack(job, signal)) live.cancel()
    })
    try {
      const result = await withJobSignal(signal, () => process(live))
      // Vendure's handlers say by this that they saw the job cancelled, or cancelled it.
      if (isCancelled(result) && !signal.aborted && job.id !== null) await service.cancelJob(job.id)
      const kept = storable(result, 'result')
      if (!signal.aborted) live.complete(result)
      return kept
    } catch (error) {
      // Vendure's own line in the log.
      if (!signal.aborted) live.fail(error)
      throw error
    }
  }

  /** A handler that looks whether its job was cancelled would take a shutdown for that, and be done. */
  #isGivenBack({ queueName }: Job, { reason }: AbortSignal): boolean {
    return reason instanceof LeaseLostError && this.#stopping.has(queueName)
  }
}

function isCancelled(result: unknown): boolean {
  return result instanceof VendureJob && result.state === 'CANCELLED'
}
