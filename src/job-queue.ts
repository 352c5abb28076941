import { WherryError } from './errors.ts'
import { Job, type JobSurroundings } from './job.ts'
import type { JobOptions, JobQueueStrategy, ProcessJob } from './job-queue-strategy.ts'
import { KvJobQueueStrategy } from './kv/kv-job-queue-strategy.ts'
import { SubscribableJob, type SubscribableSurroundings } from './subscribable-job.ts'

// biome-ignore lint/suspicious/noExplicitAny: a queue of anything is what an untyped caller makes
export interface CreateQueueOptions<Data = any, Result = any> {
  /** 1–100 printable characters. */
  readonly name: string
  /** Does a job. A queue without it adds jobs and never runs any. */
  readonly process?: ProcessJob<Data, Result> | undefined
  /** Jobs that run at once in this process. Default: the service's. */
  readonly concurrency?: number | undefined
}

export interface JobQueueSetting {
  readonly name: string
  readonly strategy: JobQueueStrategy
  readonly surroundings: SubscribableSurroundings & JobSurroundings
  /** Null: this process never runs its jobs. */
  readonly process: ProcessJob | null
}

/** A named line of jobs of one kind. Made by `JobQueueService.createQueue`. */
// biome-ignore lint/suspicious/noExplicitAny: as with Job
export class JobQueue<Data = any, Result = any> {
  readonly name: string
  readonly #setting: JobQueueSetting
  #started = false

  constructor(setting: JobQueueSetting) {
    this.name = setting.name
    this.#setting = setting
  }

  /** Whether this process runs its jobs as they come. */
  get started(): boolean {
    return this.#started
  }

  /** Begins to run jobs. `JobQueueService.start` calls it. */
  async start(): Promise<void> {
    const { process, strategy } = this.#setting
    if (this.#started || process === null) return
    this.#started = true
    try {
      await strategy.start(this.name, process)
    } catch (error) {
      this.#started = false
      throw error
    }
  }

  /** Stops running jobs, and waits for those under way. `JobQueueService.stop` calls it. */
  async stop(): Promise<void> {
    const { process, strategy } = this.#setting
    if (!this.#started || process === null) return
    this.#started = false
    await strategy.stop(this.name, process)
  }

  /**
   * Adds a job. It is stored when the promise resolves.
   *
   * @throws WherryError `input-invalid`, `name-invalid`, `data-unserialisable`, `data-too-large`,
   * `id-taken` or `store-unavailable`.
   */
  async add(data: Data, options: JobOptions = {}): Promise<SubscribableJob<Data, Result>> {
    const { strategy } = this.#setting
    return this.#handle(await strategy.add(this.#job(data, options), options))
  }

  /**
   * Adds several jobs in as few round trips as the store allows. All are checked before the first
   * is stored; one whose id is taken refuses them all, but for a rival who adds it at this moment.
   */
  async addMany(
    additions: readonly { readonly data: Data; readonly options?: JobOptions | undefined }[],
  ): Promise<SubscribableJob<Data, Result>[]> {
    const { strategy } = this.#setting
    const jobs = additions.map(({ data, options = {} }) => ({
      job: this.#job(data, options),
      options,
    }))
    if (strategy instanceof KvJobQueueStrategy) {
      return (await strategy.addMany(jobs)).map((job) => this.#handle(job))
    }
    const added: SubscribableJob<Data, Result>[] = []
    for (const { job, options } of jobs) added.push(this.#handle(await strategy.add(job, options)))
    return added
  }

  /** Lets nobody begin a job of the queue, in any process, until `resume`. */
  async pause(): Promise<void> {
    await this.#kv('pause').pause(this.name)
  }

  async resume(): Promise<void> {
    await this.#kv('resume').resume(this.name)
  }

  #job(data: Data, { retries }: JobOptions): Job<Data> {
    return new Job({ queueName: this.name, data, retries }, this.#setting.surroundings)
  }

  #handle(job: Job): SubscribableJob<Data, Result> {
    return new SubscribableJob<Data, Result>(job, this.#setting.surroundings)
  }

  #kv(action: string): KvJobQueueStrategy {
    const { strategy } = this.#setting
    if (strategy instanceof KvJobQueueStrategy) return strategy
    throw unsupported(`${action} queue "${this.name}"`)
  }
}

/** For what only our own strategy can do. */
export function unsupported(action: string): WherryError {
  return new WherryError(
    'unsupported-by-strategy',
    `Cannot ${action}: the service was given a strategy of its own, expected the \`storage\` option`,
  )
}
