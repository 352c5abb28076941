import type { ProcessJob } from '../job-queue-strategy.ts'
import type { Claim } from './claim.ts'
import type { ClaimRound, ClaimSource, Want } from './claim-round.ts'
import type { Attempt } from './runner.ts'
import { giveBackAll, type Reservation, ServedQueue, type ServingOptions } from './served-queue.ts'

/** See `KvJobQueueStrategy`: nobody sleeps where nothing lives on between requests. */
declare const WHERRY_RESIDENT: boolean | undefined

export interface Dispatched {
  readonly attempts: readonly Attempt[]
  /** When something of these queues falls due next, on the store's clock; null: nothing known. */
  readonly nextDueAt: number | null
  /** Nothing was looked for, since every slot is taken. */
  readonly isFull: boolean
  /** Others were quicker to take what was found, and there is more. */
  readonly isContended: boolean
}

export interface DispatchOptions {
  /** Jobs to start at most. Default: as many as there are slots. */
  readonly max?: number
  /** Whether to claim jobs that wait for a slot, too. Default false. */
  readonly goesAhead?: boolean
  /** Whether jobs of this queue are still wanted, once they are claimed. */
  readonly isWanted?: (queueName: string) => boolean
}

/**
 * The queues that this process serves, and their slots. Whoever wants jobs done (a resident worker,
 * a drain) asks here, so that all of them together keep to a queue's concurrency.
 */
export class Dispatcher {
  readonly #queues = new Map<string, ServedQueue>()
  readonly #options: Omit<ServingOptions, 'onRoom'>
  #turn = 0
  /** Called when there is room for more. */
  onFree: () => void = () => {}

  constructor(options: Omit<ServingOptions, 'onRoom'>) {
    this.#options = options
  }

  serve(name: string, process: ProcessJob, concurrency: number): void {
    const known = this.#queues.get(name)
    if (known === undefined) {
      const options = { ...this.#options, onRoom: () => this.onFree() }
      this.#queues.set(name, new ServedQueue(name, process, concurrency, options))
    } else {
      known.process = process
      known.concurrency = concurrency
    }
  }

  get(name: string): ServedQueue | undefined {
    return this.#queues.get(name)
  }

  names(): string[] {
    return [...this.#queues.keys()]
  }

  attempts(name: string): readonly Attempt[] {
    return this.#queues.get(name)?.attempts ?? []
  }

  /** Of attempts, and of jobs that wait for a slot. */
  claims(name: string): readonly Claim[] {
    return this.#queues.get(name)?.claims ?? []
  }

  /** Claims and starts jobs of these queues, which take turns at being the first. */
  async dispatch(
    source: ClaimSource,
    names: readonly string[],
    options: DispatchOptions,
  ): Promise<Dispatched> {
    const { max = Infinity, goesAhead = false } = options
    const attempts: Attempt[] = []
    const dues: number[] = []
    let isContended = false
    const from = this.#turn++ % Math.max(1, names.length)
    const inTurn = [...names.slice(from), ...names.slice(0, from)]
    const all = this.#wants(inTurn, goesAhead, Infinity)
    const total = all.reduce((sum, { limit }) => sum + limit, 0)
    // With less room than the queues would take, they are asked one after the other.
    for (const round of total <= max ? [inTurn] : inTurn.map((name) => [name])) {
      // Others may have taken slots while the one before was asked.
      const wants = this.#wants(round, goesAhead, max - attempts.length)
      if (wants.length === 0) continue
      const dispatched = await this.#claim(source, wants, options).catch((error) => {
        // What has begun is not lost to whoever asked, who hears of a failure that goes on.
        if (attempts.length === 0) throw error
      })
      if (dispatched === undefined) break
      attempts.push(...dispatched.attempts)
      if (dispatched.nextDueAt !== null) dues.push(dispatched.nextDueAt)
      if (dispatched.isContended) isContended = true
    }
    const isFull = total === 0 && names.length > 0
    const nextDueAt = dues.length === 0 ? null : Math.min(...dues)
    return { attempts, nextDueAt, isFull, isContended }
  }

  #wants(names: readonly string[], goesAhead: boolean, max: number): Want[] {
    return names.flatMap((queueName) => {
      const limit = Math.min(max, this.#queues.get(queueName)?.room(goesAhead) ?? 0)
      return limit > 0 ? [{ queueName, limit }] : []
    })
  }

  async #claim(
    source: ClaimSource,
    wants: readonly Want[],
    { goesAhead, isWanted = () => true }: DispatchOptions,
  ): Promise<Omit<ClaimRound, 'claims'> & Pick<Dispatched, 'attempts'>> {
    const queues = wants.map(({ queueName }) => this.#queues.get(queueName) as ServedQueue)
    // Reserved first: another claim may be under way for the same queue.
    const reserved = queues.map((queue, i) => queue.reserve((wants[i] as Want).limit))
    const accept = async (claims: readonly Claim[]): Promise<Attempt[]> => {
      const won = Map.groupBy(claims, ({ record }) => record.queueName)
      const started = queues.map((queue, i) =>
        queue.accept(reserved[i] as Reservation, won.get(queue.name) ?? []),
      )
      const attempts = (await Promise.all(started)).flat()
      // The worker may have looked meanwhile, and found no room.
      if ((typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) && !goesAhead) this.onFree()
      return attempts
    }
    const { claims, ...round } = await source.claim(wants).catch(async (error) => {
      await accept([])
      throw error
    })
    const isLate = ({ record }: Claim): boolean => !isWanted(record.queueName)
    const late = claims.filter(isLate)
    const attempts = await accept(late.length === 0 ? claims : claims.filter((one) => !isLate(one)))
    // Whoever stopped their worker waits for these as well.
    await giveBackAll(late)
    return { ...round, attempts }
  }
}
