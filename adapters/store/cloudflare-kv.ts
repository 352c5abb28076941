/**
 * Jobs in Workers KV: `cloudflare-kv:JOBS`. Guarantee: `eventual`, since KV has no compare-and-set
 * and its reads and lists may be a minute old. One put adds a job and one more claims it; a settled
 * record is written under a name of its own first, and the live one is deleted second.
 *
 * @module
 */
import { type Clock, type Random, randomToken, sleep } from '../../src/clock.ts'
import { assertCommit, byteLength, isWrite } from '../../src/store/commit-rules.ts'
import { addOperations, NO_OPERATIONS } from '../../src/store/operations.ts'
import { nextRow, type Row, rowsIn, withParts } from '../../src/store/row.ts'
import type { Answer, Limits, Operations, Put, Query, Store } from '../../src/store/store.ts'
import { systemClock, systemRandom } from '../../src/system.ts'

/** What this store needs of a KV binding; `KVNamespace` of Workers fits. */
export interface KVBinding {
  /** A name that holds nothing is null, or has a null value: both are to be met. */
  getWithMetadata(
    names: string[],
  ): Promise<Map<string, { value: string | null; metadata: unknown } | null>>
  put(
    name: string,
    value: string,
    options: { metadata: unknown; expirationTtl?: number },
  ): Promise<void>
  delete(name: string): Promise<void>
  list(options: { prefix: string; limit: number; cursor?: string | null }): Promise<{
    keys: { name: string; metadata?: unknown }[]
    list_complete: boolean
    cursor?: string
  }>
}

export interface CloudflareKVStoreOptions {
  /** Put before every name, so that a namespace can be shared. Default `wherry`. */
  readonly base?: string | undefined
  /** Seconds that settled records are kept; at least 60. Default 604,800 (7 days). */
  readonly settledTtl?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/** KV: 512 bytes a name, 1,024 of metadata, 100 names a read, 1,000 a list, 1,000 operations an invocation. */
const NAME_BYTES = 512
const METADATA_BYTES = 1_024
const READ_MAX = 100
const LIST_MAX = 1_000
const INVOCATION_OPERATIONS = 1_000
/** KV takes one write a second to a name; the rest is for clocks that differ. */
const SPACING_MS = 1_100
/** What is due later than this lies apart, in the order of its time, where no tick has to list it. */
const LATER_MS = 3_600_000
const LATER_DIGITS = 13
/** A request that was cut off leaves its change under way; after this it is forgotten. */
const UNDER_WAY_MS = 10_000
/** What was left behind for longer than any list or read lags is deleted. */
const SWEEP_AFTER_MS = 300_000
/** Records to build the next write on, and names of later records, that are kept in memory. */
const REMEMBERED_MAX = 2_000
/** A record that was only read is kept in memory when its parts are shorter than this. */
const SMALL_CHARS = 65_536

/**
 * Where a record lies. After a move that was cut off it lies in two: a settled record is believed
 * before a live one, so that a settlement stands, and a live one before a later one.
 */
type Group = 'kept' | 'later' | 'live' | 'done'
/** The most believed last. */
const GROUPS: readonly Group[] = ['kept', 'later', 'live', 'done']

/** A record as metadata holds it. Its fields are in the value when they are too long for that. */
interface Stored {
  /** version */
  v: string
  p?: string
  s?: number
  t?: string
  h?: string
  g?: Record<string, number>
}

/** A value: parts, and the fields that did not fit into metadata. */
interface Value {
  parts?: Record<string, string>
  long?: Stored
}

export function createCloudflareKVStore(
  binding: KVBinding,
  options: CloudflareKVStoreOptions = {},
): Store {
  return new CloudflareKVStore(binding, options)
}

class CloudflareKVStore implements Store {
  readonly name = 'cloudflare-kv'
  readonly guarantee = 'eventual'
  readonly clock = 'local'
  readonly limits: Limits
  readonly #binding: KVBinding
  readonly #base: string
  readonly #settledTtl: number
  readonly #clock: Clock
  readonly #random: Random
  readonly #recent = new Map<string, Row>()
  /** Since when a change of the key is under way in this process. */
  readonly #underWay = new Map<string, number>()
  /** When this process last wrote a name, on its monotonic clock. */
  readonly #writtenAt = new Map<string, number>()
  /** Names of later records that were listed lately. */
  readonly #laterNames = new Map<string, string>()
  #operations = NO_OPERATIONS

  constructor(binding: KVBinding, options: CloudflareKVStoreOptions) {
    const {
      base = 'wherry',
      settledTtl = 604_800,
      clock = systemClock,
      random = systemRandom,
    } = options
    this.#binding = binding
    this.#base = base
    this.#settledTtl = settledTtl
    this.#clock = clock
    this.#random = random
    this.limits = {
      unitPuts: 1,
      batchUnits: 1,
      keyBytes: NAME_BYTES - `${base}/later/${'0'.repeat(LATER_DIGITS)}/`.length,
      partBytes: 4 * 2 ** 20,
      unitBytes: 12 * 2 ** 20,
      invocationOperations: INVOCATION_OPERATIONS,
    }
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    const now = this.#clock.now()
    const listed = await this.#list(ranges, counts)
    const rows = get.length > 0 ? await this.#get(get) : []
    return {
      now,
      got: rows.map((row) => row && withParts(row, parts)),
      ranges: ranges.map((range) => rowsIn(listed, range).map((row) => withParts(row, []))),
      counts: counts.map((place) => rowsIn(listed, { place, limit: Infinity }).length),
    }
  }

  async commit(units: readonly (readonly Put[])[]): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    return Promise.all(units.map((unit) => this.#commitUnit(unit)))
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {}

  async #commitUnit(unit: readonly Put[]): Promise<string | null> {
    const put = unit.find(isWrite)
    // Checks are not looked at: KV could not hold anyone to them.
    if (put === undefined) return ''
    if (put.expect === null) return this.#write(null, put)
    if (this.#isUnderWay(put.key)) return null
    this.#underWay.set(put.key, this.#clock.now())
    try {
      const before = await this.#expected(put)
      if (before === null) return null
      return put.drop ? await this.#drop(before) : await this.#write(before, put)
    } finally {
      this.#underWay.delete(put.key)
    }
  }

  /** Whether another request in this isolate is writing the record. Its promise must not be awaited. */
  #isUnderWay(key: string): boolean {
    const since = this.#underWay.get(key)
    return since !== undefined && this.#clock.now() - since < UNDER_WAY_MS
  }

  /** The record that the put is made for, as far as this location can see it. */
  async #expected({ key, expect }: Put): Promise<Row | null> {
    const recent = this.#recent.get(key)
    if (recent !== undefined && recent.version === expect) return recent
    const [row] = await this.#get([key])
    return row?.version === expect ? row : null
  }

  async #write(before: Row | null, put: Put): Promise<string> {
    const draft = nextRow(before ?? undefined, put, '')
    const location = this.#locationOf(draft)
    const name = `${this.#base}/${location}/${put.key}`
    await this.#space(name, before === null ? -Infinity : spacedFrom(before, location))
    const version = `${this.#clock.now().toString(36)}.${randomToken(this.#random, 8)}@${location}`
    const row = { ...draft, version }
    // Until the answer is there, nothing is known of the record.
    this.#recent.delete(put.key)
    await this.#put(row)
    this.#remember(row)
    if (before !== null && nameOf(before) !== nameOf(row)) await this.#delete(before)
    return version
  }

  async #drop(before: Row): Promise<string> {
    this.#recent.delete(before.key)
    await this.#delete(before)
    return before.version
  }

  async #put(row: Row): Promise<void> {
    const { version: v, place: p, score: s, stamp: t, head: h, tags: g } = row
    const stored: Stored = {
      v,
      p,
      s,
      ...(t && { t }),
      h,
      ...(g && Object.keys(g).length > 0 && { g }),
    }
    const fits = byteLength(JSON.stringify(stored)) <= METADATA_BYTES
    const parts = Object.keys(row.parts).length > 0 && { parts: row.parts }
    const value: Value = { ...parts, ...(!fits && { long: stored }) }
    this.#count({ writes: 1 })
    await this.#binding.put(this.#nameOf(row), JSON.stringify(value), {
      metadata: fits ? stored : { v },
      ...(row.place.startsWith('s') && { expirationTtl: this.#settledTtl }),
    })
  }

  async #delete(row: Row): Promise<void> {
    await this.#space(this.#nameOf(row), writtenAt(row))
    this.#count({ deletes: 1 })
    await this.#binding.delete(this.#nameOf(row))
  }

  /** Waits until the name may be written again, by whoever wrote it last as far as that is known. */
  async #space(name: string, lastAt: number): Promise<void> {
    const sinceOwn = this.#clock.monotonic() - (this.#writtenAt.get(name) ?? -Infinity)
    const since = Math.min(sinceOwn, this.#clock.now() - lastAt)
    if (since < SPACING_MS) await sleep(this.#clock, Math.min(SPACING_MS - since, 2 * SPACING_MS))
    remember(this.#writtenAt, name, this.#clock.monotonic())
  }

  #locationOf({ place, score }: Row): string {
    const [kind] = place
    if (kind === 's') return 'done'
    if (kind === 'k') return 'kept'
    const soon = this.#clock.now() + LATER_MS
    const later = kind === 'd' && score > soon && String(score).length <= LATER_DIGITS
    return later ? `later/${String(score).padStart(LATER_DIGITS, '0')}` : 'live'
  }

  #nameOf(row: Row): string {
    return `${this.#base}/${nameOf(row)}`
  }

  #remember(row: Row): void {
    remember(this.#recent, row.key, row)
    if (nameOf(row).startsWith('later/')) remember(this.#laterNames, row.key, this.#nameOf(row))
  }

  #noteLater(keys: readonly { name: string }[]): void {
    for (const { name } of keys) remember(this.#laterNames, this.#keyOf(name), name)
  }

  /** Lists what the ranges and counts look at. */
  async #list(ranges: Query['ranges'] & {}, counts: readonly string[]): Promise<Row[]> {
    const rows = new Map<string, Row>()
    const places = [...ranges.map(({ place }) => place), ...counts]
    for (const group of GROUPS) {
      if (!places.some((place) => place === undefined || groupsOf(place).includes(group))) continue
      for (const row of await this.#listGroup(
        group,
        group === 'later' ? laterEnd(ranges, counts) : Infinity,
      )) {
        rows.set(row.key, row)
      }
    }
    return [...rows.values()]
  }

  async #listGroup(group: Group, to: number): Promise<Row[]> {
    const prefix = `${this.#base}/${group}/`
    const rows: Row[] = []
    let cursor: string | undefined
    do {
      this.#count({ lists: 1 })
      const page = await this.#binding.list({ prefix, limit: LIST_MAX, ...(cursor && { cursor }) })
      rows.push(...(await this.#rowsOf(page.keys)))
      if (group === 'later') this.#noteLater(page.keys)
      cursor = page.list_complete ? undefined : page.cursor
      const last = page.keys.at(-1)?.name
      // The names of later records are in the order of their times.
      if (last !== undefined && Number(last.slice(prefix.length).split('/')[0]) > to) break
    } while (cursor !== undefined)
    return rows
  }

  async #rowsOf(keys: readonly { name: string; metadata?: unknown }[]): Promise<Row[]> {
    const rows: Row[] = []
    const long: string[] = []
    for (const { name, metadata } of keys) {
      const stored = metadata as Stored | undefined
      if (stored?.p === undefined) long.push(name)
      else rows.push(rowOf(this.#keyOf(name), stored, {}))
    }
    if (long.length > 0) rows.push(...(await this.#load(long)).values())
    return rows
  }

  /** The records of the keys; whichever of their names is believed first. */
  async #get(keys: readonly string[]): Promise<(Row | null)[]> {
    const rows = [...(await this.#load(keys.flatMap((key) => this.#namesOf(key)))).values()]
    const found = new Map<string, Row>()
    for (const row of rows) found.set(row.key, row)
    await this.#sweep(rows, found)
    // The name of a later record has its time in it, so it may have to be looked for.
    const missing = keys.filter((key) => !found.has(key) && !key.startsWith('k/'))
    if (missing.length > 0) {
      const later = await this.#listGroup('later', Infinity)
      const names = later.filter(({ key }) => missing.includes(key)).map((row) => this.#nameOf(row))
      for (const row of (await this.#load(names)).values()) found.set(row.key, row)
    }
    // Whoever reads a record whole is about to write it: that write is built on what was read.
    for (const row of found.values()) if (isSmall(row)) remember(this.#recent, row.key, row)
    return keys.map((key) => found.get(key) ?? null)
  }

  /** Deletes what a move left behind when it was cut off. What is younger may only lag. */
  async #sweep(rows: readonly Row[], believed: ReadonlyMap<string, Row>): Promise<void> {
    const isOld = (row: Row): boolean => writtenAt(row) < this.#clock.now() - SWEEP_AFTER_MS
    const left = rows.filter((row) => {
      const kept = believed.get(row.key) as Row
      return kept !== row && isOld(kept) && isOld(row)
    })
    await Promise.all(left.map((row) => this.#delete(row)))
  }

  /** Where the record may lie, the most believed last. */
  #namesOf(key: string): string[] {
    if (key.startsWith('k/')) return [`${this.#base}/kept/${key}`]
    const later = this.#laterNames.get(key)
    return [
      ...(later === undefined ? [] : [later]),
      `${this.#base}/live/${key}`,
      `${this.#base}/done/${key}`,
    ]
  }

  async #load(names: readonly string[]): Promise<Map<string, Row>> {
    const rows = new Map<string, Row>()
    for (let i = 0; i < names.length; i += READ_MAX) {
      this.#count({ reads: 1 })
      const values = await this.#binding.getWithMetadata(names.slice(i, i + READ_MAX))
      for (const [name, found] of values) {
        if (found === null || found.value === null) continue
        const { parts = {}, long } = JSON.parse(found.value) as Value
        rows.set(name, rowOf(this.#keyOf(name), long ?? (found.metadata as Stored), parts))
      }
    }
    return rows
  }

  #keyOf(name: string): string {
    const [group = '', ...rest] = name.slice(this.#base.length + 1).split('/')
    return (group === 'later' ? rest.slice(1) : rest).join('/')
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

/** The name of a record, without the base: its version says where it was put. */
function nameOf({ version, key }: Row): string {
  return `${version.slice(version.indexOf('@') + 1)}/${key}`
}

/** A version begins with the time of its write. */
function writtenAt({ version }: Row): number {
  return Number.parseInt(version, 36)
}

/** When the name in that location was last written by whoever wrote `before`. */
function spacedFrom(before: Row, location: string): number {
  if (nameOf(before) === `${location}/${before.key}`) return writtenAt(before)
  // The live name of a settled record was deleted up to one spacing after it was settled.
  return before.place.startsWith('s') ? writtenAt(before) + SPACING_MS : -Infinity
}

function isSmall({ parts }: Row): boolean {
  return Object.values(parts).reduce((sum, part) => sum + part.length, 0) < SMALL_CHARS
}

/** Keeps the newest entries of a map. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > REMEMBERED_MAX && oldest !== undefined) map.delete(oldest)
}

function rowOf(
  key: string,
  { v, p = '', s = 0, t = '', h = '', g = {} }: Stored,
  parts: Record<string, string>,
): Row {
  return { key, version: v, place: p, score: s, stamp: t, head: h, tags: g, parts }
}

function groupsOf(place: string): Group[] {
  switch (place[0]) {
    case 's':
      return ['done']
    case 'k':
      return ['kept']
    case 'd':
      return ['live', 'later']
    default:
      return ['live']
  }
}

/** The highest score that any range looks at among the later records. */
function laterEnd(ranges: Query['ranges'] & {}, counts: readonly string[]): number {
  if (counts.some((place) => place.startsWith('d'))) return Infinity
  const ends = ranges
    .filter(({ place }) => place === undefined || place.startsWith('d'))
    .map(({ place, to }) => (place === undefined ? Infinity : (to ?? Infinity)))
  return Math.max(...ends)
}
