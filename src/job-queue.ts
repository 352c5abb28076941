import { decode, encode } from './codec.ts'
import type { Buffering } from './companion.ts'
import type { WherryError } from './errors.ts'
import { Job, type JobConfig, type JobSurroundings } from './job.ts'
import type { JobOptions, JobQueueStrategy, ProcessJob } from './job-queue-strategy.ts'
import { KvJobQueueStrategy } from './kv/kv-job-queue-strategy.ts'
import { refusal } from './refusal.ts'
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
  /** Where an added job goes first: what a buffer keeps is not enqueued. */
  readonly buffers: () => Buffering | undefined
  /** Null: this process never runs its jobs. */
  readonly process: ProcessJob | null
}

/** A job to be added with others. */
interface Addition<Data> {
  readonly data: Data
  readonly options?: JobOptions | undefined
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
    const [added] = await this.#add([{ data, options }])
    return added as SubscribableJob<Data, Result>
  }

  /**
   * Adds several jobs in as few round trips as the store allows. All are checked before the first
   * is stored; one whose id is taken refuses them all, but for a rival who adds it at this moment.
   * A service that has buffers adds them one after the other.
   */
  addMany(additions: readonly Addition<Data>[]): Promise<SubscribableJob<Data, Result>[]> {
    return this.#add(additions)
  }

  /** Lets nobody begin a job of the queue, in any process, until `resume`. */
  async pause(): Promise<void> {
    await this.#own('pause').pause(this.name)
  }

  async resume(): Promise<void> {
    await this.#own('resume').resume(this.name)
  }

  /** No await comes before the strategy, which reads all at once: callers reuse their objects. */
  async #add(additions: readonly Addition<Data>[]): Promise<SubscribableJob<Data, Result>[]> {
    const { strategy, buffers } = this.#setting
    const buffering = buffers()
    const jobs = additions.map(({ data, options = {} }) => {
      // A buffer may take its time.
      const kept = buffering === undefined ? data : (decode(encode(data)) as Data)
      return { job: this.#job(kept, options), options: { ...options } }
    })
    if (strategy instanceof KvJobQueueStrategy && buffering === undefined) {
      return strategy.addMany(jobs, (config) => this.#handle(config as JobConfig<Data, Result>))
    }
    const added: SubscribableJob<Data, Result>[] = []
    for (const { job, options } of jobs) {
      const kept = buffering && (await buffering.offer(job, options))
      added.push(kept ?? this.#handle(await strategy.add(job, options)))
    }
    return added
  }

  #own(action: string): KvJobQueueStrategy {
    return ownStrategy(this.#setting.strategy, `${action} queue "${this.name}"`)
  }

  #job(data: Data, { retries }: JobOptions): Job<Data> {
    return new Job({ queueName: this.name, data, retries }, this.#setting.surroundings)
  }

  #handle(job: Job | JobConfig<Data, Result>): SubscribableJob<Data, Result> {
    return new SubscribableJob<Data, Result>(job, this.#setting.surroundings)
  }
}

/**
 * For what only our own strategy can do.
 *
 * @throws WherryError `unsupported-by-strategy`.
 */
export function ownStrategy(strategy: JobQueueStrategy, action: string): KvJobQueueStrategy {
  if (strategy instanceof KvJobQueueStrategy) return strategy
  throw unsupported(action)
}

export function unsupported(action: string): WherryError {
  const is = 'the service was given a strategy of its own'
  return refusal(action, is, 'the `storage` option', 'unsupported-by-strategy')
}
