import { decode, encode } from '../codec.ts'
import { messageOf, WherryError } from '../errors.ts'
import { configOf, Job, type JobConfig } from '../job.ts'
import type { JobOptions } from '../job-queue-strategy.ts'
import { wakeOf } from '../kv/claim.ts'
import { decodeRecord, type JobRecord, putOfNew } from '../kv/job-record.ts'
import { jobOf } from '../kv/job-view.ts'
import type { StrategyInside } from '../kv/kv-job-queue-strategy.ts'
import { decodeName, encodeName, idOfKey } from '../kv/layout.ts'
import type { Logger } from '../logger.ts'
import { refusal } from '../refusal.ts'
import { byteLength } from '../store/commit-rules.ts'
import type { Limits, Put, Range, Store, StoredRecord, Wake } from '../store/store.ts'
import type { BufferBackend, BufferSight, Reduce } from './buffer-backend.ts'
import {
  BUFFER_PLACE,
  type BufferGuard,
  decodeGuard,
  type FlushPlan,
  fitting,
  GUARD_BYTES,
  PLAN_PART,
  putOfGuard,
} from './flush-plan.ts'
import { reduceOrKeep } from './foreign-buffers.ts'

/** Jobs that one reduction is given at most. */
const REDUCE_MAX = 10_000
/** Records of one page, and of one read of their parts. */
const PAGE = 1_000
const PARTS_AT_ONCE = 100
const JOB_PART = 'job'
/** Changes that a flush loses to rivals, or to a store that does not answer, before it gives up. */
const TRIES_MAX = 20

/** A job in a buffer, as it is stored. */
interface BufferedConfig extends JobConfig {
  readonly timeout?: number | undefined
}

/** What comes of the jobs of a buffer. */
interface Flush {
  plan(items: readonly Item[]): Promise<FlushPlan>
  /** Hears of every plan that is stored, of others' too. */
  begun(plan: FlushPlan): void
}

/** A job in a buffer, as it was read. */
interface Item {
  readonly key: string
  readonly version: string
  readonly job: Job
  readonly timeout: number | undefined
}

/**
 * Buffers in the service's own store. A flush is one unit: what is in the buffer goes as the jobs
 * that come of it appear. Where that is more than a unit holds, the plan of it is stored first and
 * carried out in steps, each of which moves the plan's record on, by whoever comes along.
 */
export class StoreBuffers implements BufferBackend {
  readonly #inside: StrategyInside
  readonly #logger: Logger

  constructor(inside: StrategyInside, logger: Logger) {
    this.#inside = inside
    this.#logger = logger
  }

  now(): number {
    return this.#inside.session.clock.now()
  }

  async add(bufferId: string, job: Job, options: JobOptions): Promise<void> {
    const { session, adder } = this.#inside
    await this.#store()
    const [record] = (await adder.prepare([{ job, options }])) as [JobRecord]
    const config: BufferedConfig = {
      ...configOf(job),
      id: record.id,
      priority: record.priority,
      runAt: record.life.runAt === null ? undefined : new Date(record.life.runAt),
      timeout: options.timeout,
    }
    const put: Put = {
      key: `${itemsPlace(bufferId)}/${record.id}`,
      expect: null,
      place: itemsPlace(bufferId),
      score: session.clock.now(),
      head: record.nonce,
      parts: { [JOB_PART]: encode(config) },
    }
    await this.#try(`add a job to buffer "${bufferId}"`, async () => {
      if ((await session.commit([put])) !== null) return true
      const { got } = await session.read({ get: [put.key] })
      if (got[0]?.head === record.nonce) return true
      if (got[0] === null) return null
      const message = `Cannot add a job to buffer "${bufferId}": the id "${record.id}" is taken`
      throw new WherryError('id-taken', message)
    })
  }

  async sizes(bufferIds: readonly string[]): Promise<Record<string, number>> {
    const { counts } = await this.#inside.session.read({ counts: bufferIds.map(itemsPlace) })
    return Object.fromEntries(bufferIds.map((id, i) => [id, counts[i] ?? 0]))
  }

  async look(bufferIds: readonly string[]): Promise<BufferSight[]> {
    const { got, ranges } = await this.#inside.session.read({
      get: bufferIds.map(guardKey),
      ranges: bufferIds.map((id) => ({ place: itemsPlace(id), limit: 1 })),
    })
    return bufferIds.map((_, i) => ({
      oldestAt: ranges[i]?.[0]?.score ?? null,
      isCutOff: decodeGuard(got[i] ?? null).done !== null,
    }))
  }

  /** Lets everyone know of the buffer: `names()` finds it. */
  async announce(bufferId: string): Promise<void> {
    const { session } = this.#inside
    const key = guardKey(bufferId)
    const { got } = await session.read({ get: [key] })
    if (got[0] === null) await session.commit([putOfGuard(key, decodeGuard(null))])
  }

  /** The buffers that were announced or flushed. */
  async names(): Promise<string[]> {
    const range = { place: BUFFER_PLACE, limit: PAGE }
    const { ranges } = await this.#inside.session.read({ ranges: [range] })
    return (ranges[0] ?? []).map(({ key }) => decodeName(key.slice(GUARD_PREFIX.length)))
  }

  async flush(bufferId: string, reduce: Reduce): Promise<Job[]> {
    const added = new Map<string, JobRecord>()
    await this.#empty(bufferId, {
      plan: (items) => this.#plan(bufferId, items, reduce),
      begun: (plan) => remember(plan, added),
    })
    const { surroundings } = this.#inside
    return [...added.values()].map((record) => jobOf(record, surroundings))
  }

  /** Empties the buffer. What it answers is in the store no longer, and nobody else is given it. */
  async take(bufferId: string): Promise<Job[]> {
    const { session } = this.#inside
    const planned = new Map<string, readonly Item[]>()
    const taken = new Set<Item>()
    await this.#empty(bufferId, {
      plan: async (items) => {
        const nonce = session.nonce()
        planned.set(nonce, items)
        return { nonce, puts: dropsOf(items) }
      },
      begun: ({ nonce }) => {
        for (const item of planned.get(nonce) ?? []) taken.add(item)
      },
    })
    return [...taken].map(({ job }) => job)
  }

  async #empty(bufferId: string, flush: Flush): Promise<void> {
    const store = await this.#store()
    const { now } = await this.#inside.session.read({})
    while (!(await this.#emptySome(bufferId, flush, store, now)));
  }

  /** One plan of a flush. Answers whether nothing is left that was there at `until`. */
  #emptySome(bufferId: string, flush: Flush, store: Store, until: number): Promise<boolean> {
    const key = guardKey(bufferId)
    let own: FlushPlan | null = null
    return this.#try(`flush buffer "${bufferId}"`, async () => {
      const { guard, plan } = await this.#guard(key)
      if (plan !== null) {
        flush.begun(plan)
        const isDone = await this.#carryOut(key, guard, plan, store.limits)
        return isDone ? false : null
      }
      // A commit of ours whose answer was lost.
      if (own !== null && guard.nonce === own.nonce) return this.#flushed(own, flush)
      const items = await this.#items(bufferId, until, store.limits)
      if (items.length === 0) return true
      own = await flush.plan(items)
      return (await this.#begin(key, guard, own, store.limits, flush)) ? false : null
    })
  }

  /** Commits all of a plan, or writes it down. Answers null when someone else was quicker. */
  async #begin(
    key: string,
    guard: BufferGuard,
    plan: FlushPlan,
    limits: Limits,
    flush: Flush,
  ): Promise<true | null> {
    const { puts, nonce } = plan
    if (fitting(puts, 0, limits) < puts.length) {
      const mark = putOfGuard(key, { ...guard, nonce, done: 0 }, planText(key, plan, limits))
      return (await this.#commit([mark])) === null ? null : true
    }
    const mark = putOfGuard(key, { ...guard, nonce })
    if ((await this.#commit([mark, ...puts])) === null) return null
    this.#flushed(plan, flush)
    return true
  }

  #flushed(plan: FlushPlan, flush: Flush): false {
    flush.begun(plan)
    this.#inside.announce(jobsOf(plan.puts))
    return false
  }

  /** Does what is left of a plan. Answers null when someone else did a step of it. */
  async #carryOut(
    key: string,
    guard: BufferGuard,
    { puts }: FlushPlan,
    limits: Limits,
  ): Promise<true | null> {
    let { version } = guard
    for (let done = guard.done ?? 0; done < puts.length; ) {
      const next = done + stepOf(puts, done, limits)
      const step = await this.#needed(puts.slice(done, next))
      const isLast = next >= puts.length
      const mark = putOfGuard(
        key,
        { ...guard, version, done: isLast ? null : next },
        isLast ? null : undefined,
      )
      version =
        limits.unitPuts > 1 ? await this.#commit([mark, ...step]) : await this.#oneByOne(step, mark)
      if (version === null) return null
      done = next
    }
    this.#inside.announce(jobsOf(puts))
    return true
  }

  /** Where a unit is one record: each may be there or gone already, then the mark is set. */
  async #oneByOne(step: readonly Put[], mark: Put): Promise<string | null> {
    await Promise.all(step.map((put) => this.#commit([put])))
    return this.#commit([mark])
  }

  /** Without jobs that exist and items that are gone: in a step that is done again, or by other hands. */
  async #needed(puts: readonly Put[]): Promise<Put[]> {
    const needed: Put[] = []
    for (let from = 0; from < puts.length; from += PAGE) {
      const page = puts.slice(from, from + PAGE)
      const { got } = await this.#inside.session.read({ get: page.map(({ key }) => key) })
      needed.push(...page.filter((put, i) => (got[i]?.version ?? null) === put.expect))
    }
    return needed
  }

  async #guard(key: string): Promise<{ guard: BufferGuard; plan: FlushPlan | null }> {
    const { got } = await this.#inside.session.read({ get: [key], parts: [PLAN_PART] })
    const guard = decodeGuard(got[0] ?? null)
    const text = got[0]?.parts?.[PLAN_PART]
    return {
      guard,
      plan: text === undefined ? null : { nonce: guard.nonce, puts: JSON.parse(text) },
    }
  }

  /** The oldest items: as many as one reduction, and the plan of it, may hold. */
  async #items(bufferId: string, until: number, limits: Limits): Promise<Item[]> {
    const bytesMax = Math.min(limits.partBytes, limits.unitBytes) / 4
    const items: Item[] = []
    let bytes = 0
    for await (const stored of this.#stored(itemsPlace(bufferId), until)) {
      bytes += byteLength(stored.parts?.[JOB_PART] ?? '')
      if (items.length === REDUCE_MAX || (bytes > bytesMax && items.length > 0)) break
      items.push(this.#item(stored))
    }
    return items
  }

  async *#stored(place: string, to: number): AsyncGenerator<StoredRecord> {
    const { session } = this.#inside
    for (let after: Range['after']; ; ) {
      const range = { place, to, limit: PARTS_AT_ONCE, ...(after && { after }) }
      const [found = []] = (await session.read({ ranges: [range] })).ranges
      const get = found.map(({ key }) => key)
      const { got } = await session.read({ get, parts: [JOB_PART] })
      yield* got.filter((stored) => stored !== null)
      const last = found.at(-1)
      if (last === undefined || found.length < PARTS_AT_ONCE) return
      after = [last.score, last.key]
    }
  }

  #item({ key, version, parts }: StoredRecord): Item {
    const { timeout, ...config } = decode(parts?.[JOB_PART] ?? '') as BufferedConfig
    return { key, version, timeout, job: new Job(config, this.#inside.surroundings) }
  }

  async #plan(bufferId: string, items: readonly Item[], reduce: Reduce): Promise<FlushPlan> {
    const jobs = items.map(({ job }) => job)
    const reduced = await reduceOrKeep(jobs, reduce, this.#logger, bufferId)
    const timeouts = new Map(items.map(({ job, timeout }) => [job, timeout]))
    const records = await this.#prepare(reduced, timeouts).catch((error) => {
      const message = 'A buffer gave jobs that cannot be; the collected ones are enqueued'
      this.#logger.error(message, { error, bufferId })
      return this.#prepare(jobs, timeouts)
    })
    const now = this.now()
    const puts = await this.#free(records.map((record) => putOfNew(record, now, record.parts)))
    return { nonce: this.#inside.session.nonce(), puts: [...puts, ...dropsOf(items)] }
  }

  async #prepare(
    jobs: readonly Job[],
    timeouts: ReadonlyMap<Job, number | undefined>,
  ): Promise<JobRecord[]> {
    const ids = new Set<unknown>()
    const additions = jobs.map((given) => {
      // `new Job({ ...first, data })` has the id of the first, which two of them cannot share.
      const job = ids.has(given.id) ? new Job({ ...configOf(given), id: null }) : given
      if (given.id !== null) ids.add(given.id)
      return { job, options: { timeout: timeouts.get(given) } }
    })
    return this.#inside.adder.prepare(additions)
  }

  /**
   * A job of an id that is taken had been added before: as with any add, it is not added twice. One
   * whose add to the buffer was done again, for its answer was lost, may have come out meanwhile.
   */
  async #free(puts: readonly Put[]): Promise<Put[]> {
    const free = new Set(await this.#needed(puts))
    for (const put of puts) {
      if (free.has(put)) continue
      this.#logger.warn('A buffered job is not added: its id is taken', {
        jobId: idOfKey(put.key),
      })
    }
    return [...free]
  }

  #commit(unit: readonly Put[]): Promise<string | null> {
    const now = this.now()
    const wakes = new Map<string, Wake>()
    for (const wake of jobsOf(unit).flatMap((record) => wakeOf(record, now))) {
      const { channel, at } = wake
      wakes.set(channel, { channel, at: Math.min(at, wakes.get(channel)?.at ?? at) })
    }
    return this.#inside.session.commit(unit, [...wakes.values()])
  }

  async #store(): Promise<Store> {
    const store = await this.#inside.session.store()
    if (store.guarantee !== 'eventual') return store
    const is = `the store "${store.name}" has no compare-and-set`
    throw refusal('buffer jobs', is, 'another store, or a storage', 'unsupported-by-store')
  }

  /** Tries until something is known to have been done; null: it was not. */
  async #try<T>(action: string, act: () => Promise<T | null>): Promise<T> {
    let failure: unknown
    for (let attempt = 1; attempt <= TRIES_MAX; attempt++) {
      try {
        const result = await act()
        if (result !== null) return result
      } catch (error) {
        if (!(error instanceof WherryError) || error.code !== 'store-unavailable') throw error
        failure = error
      }
      if (attempt > 1) await this.#inside.session.backOff(attempt)
    }
    throw new WherryError(
      'store-unavailable',
      `Cannot ${action}: ${messageOf(failure ?? 'others change it all the time')}`,
      { cause: failure },
    )
  }
}

/** Puts of one step; where a unit is one record, so many go side by side. */
function stepOf(puts: readonly Put[], from: number, limits: Limits): number {
  return limits.unitPuts > 1 ? Math.max(1, fitting(puts, from, limits)) : PARTS_AT_ONCE
}

const GUARD_PREFIX = 'k/buffer/'

function guardKey(bufferId: string): string {
  return GUARD_PREFIX + encodeName(bufferId)
}

function itemsPlace(bufferId: string): string {
  return `k/buffered/${encodeName(bufferId)}`
}

function planText(key: string, { puts }: FlushPlan, limits: Limits): string {
  const text = JSON.stringify(puts)
  const bytes = byteLength(text)
  if (bytes <= Math.min(limits.partBytes, limits.unitBytes - GUARD_BYTES)) return text
  const is = `what comes out of "${key}" has ${bytes} bytes`
  throw refusal('flush a buffer', is, 'less than the store takes', 'data-too-large')
}

function dropsOf(items: readonly Item[]): Put[] {
  return items.map(({ key, version }) => ({ key, expect: version, drop: true }))
}

function remember({ puts }: FlushPlan, added: Map<string, JobRecord>): void {
  for (const record of jobsOf(puts)) added.set(record.id, record)
}

function jobsOf(puts: readonly Put[]): JobRecord[] {
  return puts.filter(({ key, drop }) => !drop && idOfKey(key) !== null).map(recordOf)
}

function recordOf({ key, place = '', score = 0, head = '', parts }: Put): JobRecord {
  const texts = (parts ?? {}) as Record<string, string>
  return decodeRecord({ key, version: '', place, score, head, stamp: '', parts: texts })
}
