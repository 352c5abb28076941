import type { WherryError } from '../errors.ts'
import type { Job, JobSurroundings } from '../job.ts'
import { isId } from '../job-id.ts'
import {
  compareBy,
  type JobFilterParameter,
  type JobListOptions,
  type JobPage,
  type JobSortParameter,
  type ListedJob,
  matches,
  pageOf,
} from '../job-list.ts'
import { isSettledState, JobState } from '../lifecycle.ts'
import { refusal } from '../refusal.ts'
import type { Range, StoredRecord } from '../store/store.ts'
import { decodeRecord, type JobRecord } from './job-record.ts'
import { JOB_PARTS, jobOf } from './job-view.ts'
import {
  CREATED_TAG,
  GENERATED_PREFIX,
  jobKey,
  PLACE_KINDS,
  PLACES,
  placeOf,
  placesOfState,
  QUEUE_PLACE,
  queueOfKey,
} from './layout.ts'
import type { StoreSession } from './store-session.ts'

/** Heads that one listing may look at. */
const SCAN_MAX = 100_000
const PAGE = 1_000
/** Queues that one store is expected to hold. */
const QUEUES_MAX = 10_000
/** Up to so many matches are collected and sorted; more are walked in the order of their making. */
const COLLECT_MAX = 2_000

export type StateCounts = Readonly<Record<JobState, number>>

/** Which places a filter confines a listing to, and whether it asks for more than that. */
interface Plan {
  queueNames: readonly string[] | null
  states: readonly JobState[] | null
  ids: readonly string[] | null
  /** Whether each head still has to be tried against the filter. */
  rest: boolean
}

/** Looks jobs up. Changes nothing. */
export class JobFinder {
  readonly #session: StoreSession
  readonly #surroundings: JobSurroundings

  constructor(session: StoreSession, surroundings: JobSurroundings) {
    this.#session = session
    this.#surroundings = surroundings
  }

  async findOne(id: string): Promise<Job | undefined> {
    const [job] = await this.findManyById([id])
    return job
  }

  /** In the order of the ids; unknown ones are left out. */
  async findManyById(ids: readonly string[]): Promise<Job[]> {
    return this.#load(ids.filter(isId).map(jobKey))
  }

  async findMany(options: JobListOptions = {}): Promise<JobPage> {
    const { skip, take } = pageOf(options)
    const sort: JobSortParameter = Object.values(options.sort ?? {}).some(Boolean)
      ? (options.sort ?? {})
      : { createdAt: 'ASC' }
    const plan = planOf(options)
    const { found, totalItems } = await this.#find(plan, options, sort, skip + take)
    const keys = found.slice(skip, skip + take).map(({ key }) => key)
    return { items: await this.#load(keys), totalItems }
  }

  /** How many jobs of each queue are in each state. */
  async counts(queueNames: readonly string[]): Promise<Map<string, StateCounts>> {
    const { counts } = await this.#session.read({
      counts: queueNames.flatMap((name) => PLACE_KINDS.map((kind) => placeOf(kind, name))),
    })
    return new Map(
      queueNames.map((name, i) => {
        const sums = Object.fromEntries(Object.keys(JobState).map((state) => [state, 0])) as Record<
          JobState,
          number
        >
        PLACE_KINDS.forEach((kind, j) => {
          sums[PLACES[kind].state] += counts[i * PLACE_KINDS.length + j] ?? 0
        })
        return [name, sums]
      }),
    )
  }

  async #find(
    plan: Plan,
    options: JobListOptions,
    sort: JobSortParameter,
    wanted: number,
  ): Promise<{ found: JobRecord[]; totalItems: number }> {
    const test = (record: JobRecord): boolean =>
      matches(this.#listed(record), options.filter ?? {}, options.filterOperator)
    const store = await this.#session.store()
    if (plan.ids !== null) {
      const { got } = await this.#session.read({ get: plan.ids.filter(isId).map(jobKey) })
      return this.#sorted(decodeAll(got.filter((record) => record !== null)).filter(test), sort)
    }
    if (store.guarantee === 'eventual')
      return this.#sorted((await this.#everything()).filter(test), sort)
    const places = await this.#placesOf(plan)
    const counts = await this.#countOf(places)
    const [[field, order] = [], second] = Object.entries(sort).filter(([, one]) => one)
    if (!plan.rest && counts > COLLECT_MAX && field === 'createdAt' && !second) {
      // Two lists are in that order: of jobs by their generated ids, and of those listed apart, by tag.
      const page = { limit: PAGE, reverse: order === 'DESC' }
      const lists = [
        { ...page, prefix: GENERATED_PREFIX },
        { ...page, tag: CREATED_TAG },
      ]
      const found = await Promise.all(lists.map((list) => this.#first(list, test, wanted)))
      const [generated, tagged] = found
      if (generated && tagged) {
        return { found: this.#merged(generated, tagged, sort), totalItems: counts }
      }
    }
    if (counts > SCAN_MAX) throw tooMany(counts)
    return this.#sorted((await this.#collect(places)).filter(test), sort)
  }

  #sorted(
    records: readonly JobRecord[],
    sort: JobSortParameter,
  ): { found: JobRecord[]; totalItems: number } {
    const compare = compareBy(sort)
    const pairs = records.map((record) => ({ record, listed: this.#listed(record) }))
    pairs.sort((a, b) => compare(a.listed, b.listed))
    return { found: pairs.map(({ record }) => record), totalItems: records.length }
  }

  /** Keeps the order of each list: pages are cut from them, whatever clocks have made of it. */
  #merged(a: JobRecord[], b: JobRecord[], sort: JobSortParameter): JobRecord[] {
    const compare = compareBy(sort)
    const isFirst = (one: JobRecord, other: JobRecord | undefined): boolean =>
      other === undefined || compare(this.#listed(one), this.#listed(other)) < 0
    const merged: JobRecord[] = []
    let next = 0
    for (const one of a) {
      while (!isFirst(one, b[next])) merged.push(b[next++] as JobRecord)
      merged.push(one)
    }
    return [...merged, ...b.slice(next)]
  }

  async #placesOf({ queueNames, states }: Plan): Promise<string[]> {
    const names = queueNames ?? (await this.queueNames())
    const kinds = states === null ? PLACE_KINDS : states.flatMap(placesOfState)
    return names.flatMap((name) => kinds.map((kind) => placeOf(kind, name)))
  }

  /** The queues that the store has ever held jobs of. */
  async queueNames(): Promise<string[]> {
    const store = await this.#session.store()
    if (store.guarantee === 'eventual') {
      return [...new Set((await this.#everything()).map(({ queueName }) => queueName))]
    }
    const { ranges } = await this.#session.read({
      ranges: [{ place: QUEUE_PLACE, limit: QUEUES_MAX }],
    })
    return (ranges[0] ?? []).map(({ key }) => queueOfKey(key))
  }

  async #countOf(places: readonly string[]): Promise<number> {
    const { counts } = await this.#session.read({ counts: places })
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Every job of a store whose lists are all of one piece anyway. */
  async #everything(): Promise<JobRecord[]> {
    const ranges = [GENERATED_PREFIX, 'u/'].map((prefix) => ({ prefix, limit: SCAN_MAX + 1 }))
    const answer = await this.#session.read({ ranges })
    const stored = answer.ranges.flat()
    if (stored.length > SCAN_MAX) throw tooMany(stored.length)
    return decodeAll(stored)
  }

  async #collect(places: readonly string[]): Promise<JobRecord[]> {
    const lists = await Promise.all(
      places.map((place) => Array.fromAsync(this.#pages({ place, limit: PAGE }))),
    )
    // A job that moved while we read may come twice.
    return [...new Map(lists.flat().map((record) => [record.key, record])).values()]
  }

  /** The first `wanted` matches of a list that is in the order of creation; null: they are too far. */
  async #first(
    range: Range,
    test: (record: JobRecord) => boolean,
    wanted: number,
  ): Promise<JobRecord[] | null> {
    const found: JobRecord[] = []
    let seen = 0
    for await (const record of this.#pages(range)) {
      if (found.length === wanted) break
      if (++seen > SCAN_MAX) return null
      if (record.isListedApart === (range.tag !== undefined) && test(record)) found.push(record)
    }
    return found
  }

  async *#pages(range: Range): AsyncGenerator<JobRecord> {
    let after: Range['after']
    for (;;) {
      const { ranges } = await this.#session.read({
        ranges: [{ ...range, ...(after && { after }) }],
      })
      const page = ranges[0] ?? []
      yield* decodeAll(page)
      const last = page.at(-1)
      if (last === undefined || page.length < PAGE) return
      after = [range.tag === undefined ? last.score : (last.tags?.[range.tag] ?? 0), last.key]
    }
  }

  #listed({ id, queueName, createdAt, life }: JobRecord): ListedJob {
    const { state, progress, retries, attempts, startedAt, settledAt } = life
    const end = settledAt ?? this.#session.clock.now()
    const waits = state === JobState.PENDING || state === JobState.RETRYING
    return {
      id,
      createdAt,
      startedAt,
      settledAt,
      queueName,
      state,
      progress,
      duration: waits ? 0 : Math.max(0, end - (startedAt ?? end)),
      retries,
      attempts,
      isSettled: settledAt !== null && isSettledState(state),
    }
  }

  async #load(keys: readonly string[]): Promise<Job[]> {
    if (keys.length === 0) return []
    const { got } = await this.#session.read({ get: keys, parts: JOB_PARTS })
    const stored = got.filter((record) => record !== null)
    return stored.map((record) => jobOf(decodeRecord(record), this.#surroundings))
  }
}

/** Records of a format that is not known here are not listed. */
function decodeAll(stored: readonly StoredRecord[]): JobRecord[] {
  return stored.flatMap((record) => {
    try {
      return [decodeRecord(record)]
    } catch {
      return []
    }
  })
}

function planOf({ filter, filterOperator }: JobListOptions): Plan {
  const plan: Plan = { queueNames: null, states: null, ids: null, rest: false }
  if (filterOperator === 'OR') plan.rest = Object.keys(filter ?? {}).length > 0
  else addToPlan(plan, filter ?? {})
  return plan
}

function addToPlan(plan: Plan, filter: JobFilterParameter): void {
  const { queueName, state, isSettled, id, _and, ...others } = filter
  for (const part of _and ?? []) addToPlan(plan, part)
  const names = queueName && namedBy<string>(queueName)
  const states = state && namedBy<JobState>(state)
  const ids = id && namedBy<string>(id)
  if (names) plan.queueNames = both(plan.queueNames, names)
  if (states) plan.states = both(plan.states, states)
  if (ids) plan.ids = both(plan.ids, ids.map(String))
  if (typeof isSettled?.eq === 'boolean') {
    const settled = Object.values(JobState).filter((one) => isSettledState(one) === isSettled.eq)
    plan.states = both(plan.states, settled)
  }
  const understood = [queueName && names, state && states, id && ids].every((one) => one !== null)
  const odd = [...Object.values(others), isSettled?.isNull].some(
    (condition) => condition !== undefined && condition !== null,
  )
  plan.rest ||= !understood || odd
}

/** The values that the operators leave, when they are `eq` or `in` alone; null otherwise. */
function namedBy<T extends string>(operators: {
  readonly eq?: unknown
  readonly in?: unknown
}): T[] | null {
  const given = Object.entries(operators).filter(
    ([, operand]) => operand !== undefined && operand !== null,
  )
  const [first, second] = given
  if (first === undefined || second !== undefined) return null
  if (first[0] === 'eq') return [first[1] as T]
  return first[0] === 'in' ? [...new Set(first[1] as T[])] : null
}

function both<T>(a: readonly T[] | null, b: readonly T[]): readonly T[] {
  return a === null ? b : b.filter((one) => a.includes(one))
}

function tooMany(count: number): WherryError {
  return refusal(
    'list jobs',
    `${count} would have to be looked at`,
    `at most ${SCAN_MAX}, or queueName, state and isSettled alone, sorted by createdAt`,
  )
}
