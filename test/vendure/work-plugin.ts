/** Queues of the tests, in server and workers alike. What a handler does, it tells its parent. */
import {
  type Job,
  type JobQueue,
  JobQueueService,
  PluginCommonModule,
  VendurePlugin,
} from '@vendure/core'
import { jobSignal } from '../../adapters/vendure/main.ts'

/** What a job asks of its handler. */
export type Work = {
  /** Runs until it is told to end, or sees its job cancelled. */
  holds?: boolean
  progress?: number
  fails?: string
  result?: string
}

export class WorkPlugin {
  readonly #jobs: JobQueueService
  #queue: JobQueue<Work> | undefined

  constructor(jobs: JobQueueService) {
    this.#jobs = jobs
  }

  async onModuleInit(): Promise<void> {
    this.#queue = await this.#jobs.createQueue<Work>({ name: 'work', process: perform })
  }

  get queue(): JobQueue<Work> {
    if (this.#queue === undefined) throw new Error('The app has not started')
    return this.#queue
  }
}

Reflect.defineMetadata('design:paramtypes', [JobQueueService], WorkPlugin)
VendurePlugin({ imports: [PluginCommonModule], compatibility: '^3.0.0' })(WorkPlugin)

async function perform(job: Job<Work>): Promise<unknown> {
  const { holds, progress, fails, result } = job.data
  const tell = (event: string): void => void process.send?.({ event, id: job.id, state: job.state })
  tell('began')
  if (progress !== undefined) job.setProgress(progress)
  if (fails !== undefined) throw new Error(fails)
  if (holds) {
    await Promise.race([told('end'), aborted()])
    tell('stopped')
    if (job.state === 'CANCELLED') throw new Error('It was cancelled')
  }
  return result
}

function told(message: string): Promise<void> {
  return new Promise((resolve) => {
    process.on('message', function hear(heard) {
      if (heard !== message) return
      process.off('message', hear)
      resolve()
    })
  })
}

function aborted(): Promise<void> {
  return new Promise((resolve) => jobSignal()?.addEventListener('abort', () => resolve()))
}
