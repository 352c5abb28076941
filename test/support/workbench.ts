import {
  createMemoryStore,
  type Job,
  type JobContext,
  type JobQueue,
  JobQueueService,
  type JobQueueServiceOptions,
  type Store,
  silentLogger,
} from '../../src/main.ts'
import { FakeClock, seededRandom } from '../../src/testing/main.ts'

/** A call of a handler that ends when the test says so. */
export interface Call {
  readonly job: Job
  readonly context: JobContext
  finish(result?: unknown): Promise<void>
  fail(error: unknown): Promise<void>
}

/** One store, one clock, and as many services ("processes") on them as a test wants. */
export class Workbench {
  readonly clock: FakeClock = new FakeClock()
  readonly store: Store
  /** Calls of every handler of `manual`, in their order. */
  readonly calls: Call[] = []

  constructor(store?: Store) {
    this.store = store ?? createMemoryStore({ clock: this.clock, random: seededRandom(7) })
  }

  service(options: JobQueueServiceOptions = {}): JobQueueService {
    const random = seededRandom(Math.floor(Math.random() * 1e9))
    return new JobQueueService({
      storage: this.store,
      clock: this.clock,
      random,
      logger: silentLogger,
      ...options,
    })
  }

  /** A started service with one queue whose handler waits to be told how to end. */
  async worker(
    options: JobQueueServiceOptions = {},
    queueName = 'work',
  ): Promise<{ service: JobQueueService; queue: JobQueue }> {
    const service = this.service(options)
    const queue = await service.createQueue({ name: queueName, process: this.manual })
    await service.start()
    await this.settle()
    return { service, queue }
  }

  readonly manual = (job: Job, context: JobContext): Promise<unknown> => {
    const ended = Promise.withResolvers<unknown>()
    const settle = (): Promise<void> => this.settle()
    this.calls.push({
      job,
      context,
      finish(result) {
        ended.resolve(result)
        return settle()
      },
      fail(error) {
        ended.reject(error)
        return settle()
      },
    })
    return ended.promise
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    await this.clock.advance(0)
  }

  call(index: number): Call {
    const call = this.calls.at(index)
    if (call === undefined) throw new Error(`There was no call ${index}, only ${this.calls.length}`)
    return call
  }
}

/** A view of the bench's store that can be cut off: its calls are answered no more. */
export function cutOff(bench: Workbench): { store: Store; cut: () => void } {
  let isCut = false
  const { store } = bench
  const pass = <T>(act: () => Promise<T>): Promise<T> => (isCut ? new Promise(() => {}) : act())
  return {
    cut: () => {
      isCut = true
    },
    store: {
      ...{ name: store.name, guarantee: store.guarantee, clock: store.clock, limits: store.limits },
      read: (query) => pass(() => store.read(query)),
      commit: (units, hint) => pass(() => store.commit(units, hint)),
      operations: () => store.operations(),
      close: () => store.close(),
    },
  }
}
