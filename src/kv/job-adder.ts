import { encode } from '../codec.ts'
import { messageOf, WherryError } from '../errors.ts'
import type { Job, JobId } from '../job.ts'
import { assertId, isGeneratedId } from '../job-id.ts'
import type { JobOptions } from '../job-queue-strategy.ts'
import { JobState, transition } from '../lifecycle.ts'
import { isLonger } from '../store/commit-rules.ts'
import type { Store } from '../store/store.ts'
import { wakeOf } from './claim.ts'
import { assertJobOptions } from './job-input.ts'
import { decodeRecord, type JobRecord, putOfNew } from './job-record.ts'
import { assertQueueName, jobKey, QUEUE_PLACE, queueKey } from './layout.ts'
import { type Outcomes, outcomesOf } from './outcomes.ts'
import type { StoreSession } from './store-session.ts'

export interface AdderOptions {
  readonly session: StoreSession
  readonly newId: () => string
  readonly setRetries: (queueName: string, job: Job) => number
  /** How long a job that is born leased stays its adder's, in ms; null: it goes into the line. */
  readonly bornLeasedMs: (record: JobRecord, store: Store) => number | null
}

export interface Addition {
  readonly job: Job
  readonly options?: JobOptions | undefined
}

/** Commits of one add whose fate stays unknown, before its caller is told so. */
const ADD_TRIES = 4
/** Ids of one job that a generator may give and that are taken. */
const DRAWS_MAX = 10
/** As far as a job's creation may be from the making of its id, whose order then counts. */
const CREATED_WITHIN_MS = 60_000

/** Stores new jobs. */
export class JobAdder {
  readonly #options: AdderOptions
  readonly #knownQueues = new Set<string>()

  constructor(options: AdderOptions) {
    this.#options = options
  }

  /** All are checked before the first is stored. Answers the records as they are stored. */
  async add(additions: readonly Addition[]): Promise<Outcomes<JobRecord>> {
    const prepared = await this.prepare(additions)
    // Of a single one its commit tells, where a commit can tell.
    if (prepared.length > 1 || this.#options.session.opened?.guarantee === 'eventual') {
      await this.#refuseTaken(prepared)
    }
    return outcomesOf(
      prepared.map((record, i) => this.#storeOnce(record, chosenId(additions[i] as Addition))),
    )
  }

  /**
   * The records of new jobs, checked and not yet stored, in queues that everyone knows. Their data is
   * read before anything is waited for: what its adder does to it afterwards is not seen.
   */
  async prepare(additions: readonly Addition[]): Promise<JobRecord[]> {
    const parts = additions.map(({ job }) => partsOf(job))
    const { session } = this.#options
    const store = session.ready ?? (await session.store())
    const prepared = additions.map((addition, i) => this.#prepare(addition, parts[i] ?? {}, store))
    const news = prepared.filter(({ queueName }) => !this.#knownQueues.has(queueName))
    if (news.length > 0)
      await this.#announce(store, new Set(news.map(({ queueName }) => queueName)))
    return prepared
  }

  #prepare({ job, options = {} }: Addition, parts: JobRecord['parts'], store: Store): JobRecord {
    const { queueName } = job
    const { session, newId, setRetries, bornLeasedMs } = this.#options
    const retries = setRetries(queueName, job)
    assertQueueName(queueName)
    const priority = options.priority ?? job.priority
    assertJobOptions({ ...options, retries, priority })
    assertLength(parts, store)
    const ownId = chosenId({ job, options })
    const id = String(ownId ?? newId())
    assertId(id)
    const now = session.clock.now()
    // Text, in a job that was JSON on its way.
    const given = new Date(job.createdAt).getTime()
    // An adder's clock may run ahead; it must not put its jobs behind those of later adders.
    const createdAt = Number.isNaN(given) ? now : Math.min(given, now)
    const asked =
      options.runAt?.getTime() ??
      (options.delay ? now + options.delay : (job.runAt?.getTime() ?? null))
    // What has passed is no earlier than now: it must not pass by those of a higher priority.
    const runAt = asked !== null && asked > now ? asked : null
    const record: JobRecord = {
      id,
      key: jobKey(id),
      version: '',
      queueName,
      life: {
        state: JobState.PENDING,
        retries,
        attempts: 0,
        lapses: 0,
        progress: 0,
        runAt,
        startedAt: null,
        settledAt: null,
        error: undefined,
        // Above the fences of a removed job of the same id, even when a claim comes late.
        fence: now,
        lease: null,
      },
      createdAt,
      priority,
      timeoutMs: options.timeout ?? null,
      nonce: session.nonce(),
      owner: '',
      errorIsCut: false,
      isListedApart: ownId !== null || !isGeneratedId(id) || now - createdAt > CREATED_WITHIN_MS,
      parts,
    }
    const leaseMs = bornLeasedMs(record, store)
    return leaseMs === null || runAt !== null ? record : this.#held(record, now, leaseMs)
  }

  #held(record: JobRecord, now: number, lengthMs: number): JobRecord {
    const owner = record.nonce
    const lease = { owner, until: now + lengthMs, lengthMs }
    const life = transition(record.life, { type: 'held', at: now, lease })
    return life === null ? record : { ...record, owner, life }
  }

  /** A race may still be lost in the commit; this is what lets a batch be refused as a whole. */
  async #refuseTaken(records: readonly JobRecord[]): Promise<void> {
    const own = records.filter(({ isListedApart }) => isListedApart)
    const ids = new Set<string>()
    for (const { id } of own) {
      if (ids.has(id)) throw idTaken(id)
      ids.add(id)
    }
    if (own.length === 0) return
    const { got } = await this.#options.session.read({ get: own.map(({ key }) => key) })
    const taken = own.find((_, i) => got[i] !== null)
    if (taken !== undefined) throw idTaken(taken.id)
  }

  /** Lets everyone know which queues a store holds; where lists are dear they tell it themselves. */
  async #announce(store: Store, queueNames: ReadonlySet<string>): Promise<void> {
    if (store.guarantee === 'eventual') return
    const news = [...queueNames]
    const { got } = await this.#options.session.read({ get: news.map(queueKey) })
    const unknown = news.filter((_, i) => got[i] === null)
    const put = (name: string) => ({
      key: queueKey(name),
      expect: null,
      place: QUEUE_PLACE,
      score: 0,
      head: '',
    })
    await Promise.all(unknown.map((name) => this.#options.session.commit([put(name)])))
    for (const name of news) this.#knownQueues.add(name)
  }

  /** An id that nobody chose and that is taken is drawn again. */
  async #storeOnce(record: JobRecord, chosen: JobId | null): Promise<JobRecord> {
    for (let draw = 1; ; draw++) {
      try {
        return await this.#store(record)
      } catch (error) {
        const taken = error instanceof WherryError && error.code === 'id-taken'
        if (!taken || chosen !== null || draw === DRAWS_MAX) throw error
        const id = this.#options.newId()
        assertId(id)
        record = {
          ...record,
          id,
          key: jobKey(id),
          isListedApart: record.isListedApart || !isGeneratedId(id),
        }
      }
    }
  }

  async #store(record: JobRecord): Promise<JobRecord> {
    const { session } = this.#options
    let failure: unknown
    for (let attempt = 1; attempt <= ADD_TRIES; attempt++) {
      const now = session.clock.now()
      try {
        const version = await session.commit(
          [putOfNew(record, now, record.parts)],
          wakeOf(record, now),
        )
        if (version !== null) return { ...record, version }
      } catch (error) {
        if (error instanceof TypeError) throw error
        failure = error
      }
      const found = await this.#find(record)
      if (found !== null) return found
      await session.backOff(attempt)
    }
    throw new WherryError(
      'store-unavailable',
      `Cannot tell whether job "${record.id}" was added: ${messageOf(failure)}`,
      { cause: failure },
    )
  }

  /** After a commit that was refused or whose fate is unknown; null: nothing is stored. */
  async #find(record: JobRecord): Promise<JobRecord | null> {
    const { got } = await this.#options.session.readPersistently({ get: [record.key] }, ADD_TRIES)
    const [stored] = got
    if (!stored) return null
    const found = decodeRecord(stored)
    if (found.nonce !== record.nonce) throw idTaken(record.id)
    return { ...found, parts: record.parts }
  }
}

function chosenId({ job, options }: Addition): JobId | null {
  return options?.id ?? job.id ?? null
}

function partsOf({ data }: Job): Record<string, string> {
  return data === undefined ? {} : { data: encode(data) }
}

function assertLength({ data }: JobRecord['parts'], { limits, name }: Store): void {
  if (data === undefined || !isLonger(data, limits.partBytes)) return
  throw new WherryError(
    'data-too-large',
    `Cannot add a job: its data has over ${limits.partBytes} bytes, the most that the store "${name}" takes`,
  )
}

function idTaken(id: string): WherryError {
  return new WherryError('id-taken', `Cannot add a job: the id "${id}" is taken`)
}
