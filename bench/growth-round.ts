/** Fills one queue through `addMany`, and times what runs off it, several times over. */
import { openStore } from '../adapters/runtime/node.ts'
import { type Job, JobQueueService, type Store } from '../src/main.ts'
import { answerParent, orderOfParent } from './child.ts'
import { type Payload, payloadOf } from './contestant.ts'
import { CONCURRENCIES, DRAINED, type Growth, type GrowthOrder } from './growth-order.ts'
import { inTime } from './heat.ts'

const REPETITIONS = 5
const CHUNK = 1_000
const QUEUE_NAME = 'work'

/** One queue of one store, and how often each of its jobs has run. */
class Backlog {
  readonly #store: Store
  readonly #runs: number[] = []
  #ran = 0

  constructor(store: Store) {
    this.#store = store
  }

  /** Adds until so many jobs wait. Answers how many it added. */
  async fillTo(size: number): Promise<number> {
    const queue = await new JobQueueService({ storage: this.#store }).createQueue<Payload, void>({
      name: QUEUE_NAME,
    })
    const before = this.#runs.length
    const end = size + this.#ran
    while (this.#runs.length < end) {
      const from = this.#runs.length
      const count = Math.min(CHUNK, end - from)
      this.#runs.push(...Array.from({ length: count }, () => 0))
      await queue.addMany(Array.from({ length: count }, (_, i) => ({ data: payloadOf(from + i) })))
    }
    return this.#runs.length - before
  }

  /** Answers jobs a second; those that were under way then run to their end unmeasured. */
  async drain(concurrency: number): Promise<number> {
    const service = new JobQueueService({ storage: this.#store })
    const enough = Promise.withResolvers<void>()
    let left = DRAINED
    await service.createQueue({
      name: QUEUE_NAME,
      concurrency,
      process: async (job: Job<Payload>) => {
        this.#note(job.data.index)
        if (--left === 0) enough.resolve()
      },
    })
    const begun = performance.now()
    await service.start()
    await inTime(enough.promise)
    const seconds = (performance.now() - begun) / 1_000
    await service.stop()
    await this.#assertSettled(service)
    return DRAINED / seconds
  }

  #note(index: number): void {
    const runs = (this.#runs[index] ?? 0) + 1
    if (runs > 1) throw new Error(`Job ${index} has run twice`)
    this.#runs[index] = runs
    this.#ran++
  }

  /** What ran has completed, and the rest waits. */
  async #assertSettled(service: JobQueueService): Promise<void> {
    const { COMPLETED = 0, PENDING = 0 } = (await service.counts()).get(QUEUE_NAME) ?? {}
    if (COMPLETED === this.#ran && PENDING === this.#runs.length - this.#ran) return
    const is = `${COMPLETED} have completed and ${PENDING} wait`
    throw new Error(`Of ${this.#runs.length} jobs ${this.#ran} ran, but ${is}`)
  }
}

async function grow({ url, size }: GrowthOrder): Promise<Growth> {
  const store = await openStore(url)
  const backlog = new Backlog(store)
  await warmUp(backlog)
  const begun = performance.now()
  const added = await backlog.fillTo(size + DRAINED)
  const filled = added / ((performance.now() - begun) / 1_000)
  const drained = Object.fromEntries(CONCURRENCIES.map((one) => [one, [] as number[]]))
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    for (const concurrency of CONCURRENCIES) {
      await backlog.fillTo(size + DRAINED)
      drained[concurrency]?.push(await backlog.drain(concurrency))
    }
  }
  await store.close()
  return { filled, drained }
}

/** On the queue itself, while it is small. */
async function warmUp(backlog: Backlog): Promise<void> {
  for (const concurrency of CONCURRENCIES) {
    await backlog.fillTo(DRAINED)
    await backlog.drain(concurrency)
  }
}

answerParent(await grow(orderOfParent<GrowthOrder>()))
