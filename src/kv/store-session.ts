import { type Clock, type Random, sleep } from '../clock.ts'
import { messageOf, WherryError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import { refusal } from '../refusal.ts'
import { CommitRefusal, isWrite } from '../store/commit-rules.ts'
import type { Answer, Put, Query, Store, Wake } from '../store/store.ts'
import { VersionSource } from '../store/version-source.ts'
import { RECORD_FORMAT } from './job-record.ts'
import { FORMAT_KEY, FORMAT_PLACE } from './layout.ts'
import { StoreClock } from './store-clock.ts'

/** See `KvJobQueueStrategy`: where it is defined as `false`, commits are not pooled. */
declare const WHERRY_LINES: boolean | undefined

export interface SessionOptions {
  readonly storage: Store | PromiseLike<Store>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

interface Pooled {
  readonly unit: readonly Put[]
  readonly wake: readonly Wake[]
  resolve(version: string | null): void
  reject(error: unknown): void
}

/** Commits in flight at once: one is being answered while the next is on its way. */
const IN_FLIGHT_MAX = 2
/** As long as whole batches wait. */
const WHOLE_IN_FLIGHT_MAX = 4
/** Microtasks that a commit waits for others. */
const HOPS = 24
/** Tries to learn what became of a commit whose answer was lost: about a minute of them. */
const RECOVERY_TRIES = 24
const RECOVERY_DELAY_MS = 50

/**
 * One service's use of a store: opens it late, pools commits of the same moment into one round
 * trip, and keeps the store's time.
 */
export class StoreSession {
  readonly clock: StoreClock
  readonly #options: SessionOptions
  readonly #nonces: VersionSource
  #store: Store | null = null
  #formatKnown = false
  #waiting: Pooled[] = []
  #flushing = false
  #inFlight = 0
  #closed = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.#nonces = new VersionSource(options.random)
    this.clock = new StoreClock(options.clock)
    // Whoever uses the store first hears of a failure; until then it is nobody's.
    if ('then' in options.storage) options.storage.then(undefined, () => {})
    else this.#store = options.storage
  }

  /** The store, once it is open and its format is known to be one of ours. */
  async store(): Promise<Store> {
    if (this.#closed) throw closed()
    // The resolved store is kept, not a promise: a Worker may not await another request's I/O.
    this.#store ??= await unavailable('open the store', () => this.#options.storage)
    if (!this.#formatKnown) await this.#checkFormat(this.#store)
    return this.#store
  }

  /** The store once `store()` has given it: whoever asks often need not wait. */
  get ready(): Store | null {
    return this.#formatKnown && !this.#closed ? this.#store : null
  }

  /** The store if it has been used already. */
  get opened(): Store | null {
    return this.#store
  }

  /** New for each commit that is to be known again when its answer is lost. */
  nonce(): string {
    return this.#nonces.next()
  }

  /** Releases what the store opened, also when nobody has used it yet. */
  async close(): Promise<void> {
    this.#closed = true
    const store = await Promise.resolve(this.#store ?? this.#options.storage).catch(() => null)
    await store?.close()
  }

  async read(query: Query): Promise<Answer> {
    return this.#read(this.ready ?? (await this.store()), query)
  }

  async #read(store: Store, query: Query): Promise<Answer> {
    const sentAt = this.#options.clock.monotonic()
    const answer = await unavailable('read from the store', () => store.read(query))
    this.clock.observe(answer.now, sentAt)
    return answer
  }

  /**
   * Commits a unit, in one round trip with others of the same moment. Answers its new version, or
   * null when an expectation failed.
   *
   * @throws WherryError `store-unavailable` when it is unknown whether the unit was committed;
   * CommitRefusal when the store would take it never.
   */
  commit(unit: readonly Put[], wake: readonly Wake[] = []): Promise<string | null> {
    const store = this.ready
    if (store === null) return this.store().then(() => this.commit(unit, wake))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ unit, wake, resolve, reject })
      if ((typeof WHERRY_LINES === 'undefined' || WHERRY_LINES) && store.limits.batchUnits > 1) {
        this.#flushSoon(store)
      } else void this.#send(store, this.#waiting.splice(0))
    })
  }

  /**
   * Reads until the store answers, for a caller that must learn what became of a commit.
   *
   * @throws WherryError `store-unavailable` after several tries.
   */
  async readPersistently(query: Query, tries: number = RECOVERY_TRIES): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.read(query)
      } catch (error) {
        if (attempt === tries) throw error
        await this.backOff(attempt)
      }
    }
  }

  /** Waits a little longer after each attempt, from 50 ms to 3.2 s, with jitter. */
  async backOff(attempt: number): Promise<void> {
    const { clock, random } = this.#options
    const ms = RECOVERY_DELAY_MS * 2 ** Math.min(attempt - 1, 6)
    await sleep(clock, ms * (0.5 + random() / 2))
  }

  #flushSoon(store: Store): void {
    if (typeof WHERRY_LINES === 'undefined' || WHERRY_LINES) {
      if (this.#flushing || !this.#maySend(store)) return
      this.#flushing = true
      void this.#flushAfterThisMoment(store)
    }
  }

  /** Commits of the same moment go along; and what frees a slot lets its successor be claimed first. */
  async #flushAfterThisMoment(store: Store): Promise<void> {
    for (let hop = 0; hop < HOPS; hop++) await null
    this.#flushing = false
    this.#flush(store)
  }

  #flush(store: Store): void {
    if (typeof WHERRY_LINES === 'undefined' || WHERRY_LINES) {
      while (this.#waiting.length > 0 && this.#maySend(store)) {
        const { batch, left } = cutBatch(this.#waiting, store.limits.batchUnits)
        this.#waiting = left
        this.#inFlight++
        void this.#send(store, batch).finally(() => {
          this.#inFlight--
          this.#flush(store)
        })
      }
    }
  }

  #maySend({ limits }: Store): boolean {
    const isWhole = this.#waiting.length >= limits.batchUnits
    return this.#inFlight < (isWhole ? WHOLE_IN_FLIGHT_MAX : IN_FLIGHT_MAX)
  }

  async #send(store: Store, batch: readonly Pooled[]): Promise<void> {
    const wake = batch.flatMap((pooled) => pooled.wake)
    try {
      const versions = await unavailable('write to the store', () =>
        store.commit(
          batch.map(({ unit }) => unit),
          { wake },
        ),
      )
      batch.forEach(({ resolve }, i) => {
        resolve(versions[i] ?? null)
      })
    } catch (error) {
      // What is refused must not take others with it.
      if (error instanceof CommitRefusal && batch.length > 1) {
        for (const pooled of batch) await this.#send(store, [pooled])
      } else for (const { reject } of batch) reject(error)
    }
  }

  async #checkFormat(store: Store): Promise<void> {
    const { got } = await this.#read(store, { get: [FORMAT_KEY] })
    const [record] = got
    if (record) assertFormat(record.head)
    this.#formatKnown = true
    if (record) return
    const head = JSON.stringify({ format: RECORD_FORMAT })
    const put = { key: FORMAT_KEY, expect: null, place: FORMAT_PLACE, score: 0, head }
    // Whoever loses this race finds the winner's record, which says the same; or is refused, where
    // nobody can tell that from a failure.
    const written = unavailable('write to the store', () => store.commit([[put]]))
    await (store.guarantee === 'eventual' ? written.catch(() => {}) : written)
  }
}

/** Why what a service did is not done any more. */
export function closed(): WherryError {
  return refusal('use the store', 'the service is closed', 'an open one', 'store-unavailable')
}

function assertFormat(head: string): void {
  const { format } = JSON.parse(head) as { format?: unknown }
  if (typeof format === 'number' && format <= RECORD_FORMAT) return
  const expected = `at most ${RECORD_FORMAT}, which this version of wherry reads`
  throw refusal('use this store', `its format is ${format}`, expected, 'record-corrupt')
}

/** The first units that may share a batch: no key that one of them writes stands in another. */
function cutBatch(waiting: readonly Pooled[], size: number): { batch: Pooled[]; left: Pooled[] } {
  const batch: Pooled[] = []
  const left: Pooled[] = []
  const written = new Set<string>()
  const checked = new Set<string>()
  let next = 0
  for (; next < waiting.length && batch.length < size; next++) {
    const pooled = waiting[next] as Pooled
    const meets = pooled.unit.some(
      (put) => written.has(put.key) || (checked.has(put.key) && isWrite(put)),
    )
    if (meets) {
      left.push(pooled)
      continue
    }
    batch.push(pooled)
    for (const put of pooled.unit) (isWrite(put) ? written : checked).add(put.key)
  }
  return { batch, left: [...left, ...waiting.slice(next)] }
}

/** Names what could not be done; refusals of ours pass as they are. */
export async function unavailable<T>(action: string, act: () => T | PromiseLike<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof WherryError || error instanceof CommitRefusal) throw error
    throw new WherryError('store-unavailable', `Cannot ${action}: ${messageOf(error)}`, {
      cause: error,
    })
  }
}
