import type { Random } from '../../../src/clock.ts'
import { assertCommit, isWrite } from '../../../src/store/commit-rules.ts'
import { addOperations, NO_OPERATIONS } from '../../../src/store/operations.ts'
import type {
  Answer,
  Hint,
  Limits,
  Operations,
  Put,
  Query,
  Range,
  Store,
  StoredRecord,
  Take,
} from '../../../src/store/store.ts'
import { VersionSource } from '../../../src/store/version-source.ts'
import { COMMIT, READ, TAKE } from './scripts.ts'

/** A way to a server that speaks Redis. */
export interface LuaServer {
  /** Runs a script on the one key, in one round trip; loads it where it is not known yet. */
  run(script: string, key: string, args: readonly string[]): Promise<unknown>
  /** Hears messages. Absent: the server is only asked. */
  subscribe?(channel: string, hear: (message: string) => void): () => void
  close(): Promise<void>
}

export interface LuaStoreOptions {
  readonly name: string
  readonly base: string
  readonly random: Random
}

const LIMITS: Limits = {
  unitPuts: 1_000,
  batchUnits: 50,
  keyBytes: 512,
  partBytes: 16 * 2 ** 20,
  unitBytes: 64 * 2 ** 20,
}

/** In the place of tags: they are kept as they are. */
const KEPT = '='

/** The Store port on a server that speaks Redis: what to ask it, and what its answers mean. */
export function createLuaStore(server: LuaServer, options: LuaStoreOptions): Store {
  const store = new LuaStore(server, options)
  const { subscribe } = server
  if (subscribe === undefined) return store
  const channelOf = (channel: string): string => `${store.key}:wake:${channel}`
  return Object.assign(store, {
    subscribe: (channel: string, hear: (at: number) => void) =>
      subscribe.call(server, channelOf(channel), (at) => hear(Number(at))),
  })
}

class LuaStore implements Store {
  readonly name: string
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  /** What all keys begin with: a hash tag, so that they lie in one slot. */
  readonly key: string
  readonly #server: LuaServer
  readonly #versions: VersionSource
  #operations = NO_OPERATIONS

  constructor(server: LuaServer, { name, base, random }: LuaStoreOptions) {
    this.name = name
    this.key = `{${base}}`
    this.#server = server
    this.#versions = new VersionSource(random)
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    this.#count({ reads: 1 })
    const args = [...counted(get), ...counted(parts), String(ranges.length)]
    for (const range of ranges) args.push(...rangeArgs(range))
    args.push(...counted(counts))
    const answer = (await this.#server.run(READ, this.key, args)) as ReadAnswer
    const [now, got, rows, sizes] = answer
    return {
      now: Number(now),
      got: get.map((key, i) => {
        const found = got[i]
        return found
          ? { ...recordOf(key, found[0] as string), parts: partsOf(parts, found, 1) }
          : null
      }),
      ranges: rows.map(recordsOf),
      counts: sizes.map(Number),
    }
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    if (units.length === 0) return []
    this.#count({ writes: 1 })
    const versions = units.map(() => this.#versions.next())
    const args = [String(units.length)]
    units.forEach((unit, i) => {
      args.push(versions[i] as string, String(unit.length))
      for (const put of unit) pushPut(args, put)
    })
    const wakes = wakesOf(hint)
    args.push(String(wakes.size))
    for (const [channel, at] of wakes) args.push(`${this.key}:wake:${channel}`, String(at))
    const results = (await this.#server.run(COMMIT, this.key, args)) as unknown[]
    return units.map((unit, i) => {
      if (Number(results[i]) !== 1) return null
      return unit.some(isWrite) ? (versions[i] as string) : ''
    })
  }

  async take({
    from,
    limit,
    into,
    score,
    stamp,
    unless = [],
    parts = [],
  }: Take): Promise<StoredRecord[]> {
    this.#count({ writes: 1 })
    const args = [String(limit), into, String(score), stamp, this.#versions.next()]
    args.push(...counted(from), ...counted(unless), ...counted(parts))
    const [keys, records, values] = (await this.#server.run(TAKE, this.key, args)) as TakeAnswer
    return keys.map((key, i) => ({
      ...recordOf(key, records[i] as string),
      parts: partsOf(parts, values, i * parts.length),
    }))
  }

  operations(): Operations {
    return this.#operations
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

type Values = readonly (string | null)[]
type ReadAnswer = readonly [
  now: string,
  /** Each: the packed record, and its parts. */
  got: readonly (Values | null)[],
  ranges: readonly (readonly string[])[],
  counts: readonly (number | string)[],
]
type TakeAnswer = readonly [keys: readonly string[], records: readonly string[], parts: Values]

function counted(items: readonly string[]): string[] {
  return [String(items.length), ...items]
}

function rangeArgs({ place, tag, prefix, from, to, after, limit, reverse }: Range): string[] {
  const [kind, name] =
    prefix !== undefined
      ? ['prefix', prefix]
      : place !== undefined
        ? ['place', place]
        : ['tag', tag ?? '']
  const [score = 0, key = ''] = after ?? []
  const bounds = [
    from === undefined ? '-inf' : String(from),
    to === undefined ? '+inf' : String(to),
  ]
  return [kind, name, ...bounds, String(score), key, String(limit), reverse ? '1' : '0']
}

/** A put as two texts, which take a client less than nine, and its parts. */
function pushPut(args: string[], put: Put): void {
  const { key, expect, place = '', score = '', stamp = '', head, tags, parts } = put
  const kind = !isWrite(put) ? 'c' : put.drop ? 'd' : 'w'
  const entries = kind === 'w' && parts !== undefined ? Object.entries(parts) : []
  const toTags = tags === undefined ? KEPT : `:${packTags(tags)}`
  args.push(
    [key, expect ?? '', kind, 2 * entries.length, place, score, toTags].join('\0'),
    head === undefined ? stamp : `${stamp}\0${head}`,
  )
  // No name has a space.
  for (const [name, part] of entries) args.push(part === null ? ` ${name}` : name, part ?? '')
}

/** The earliest time for each channel: one message is enough for a batch. */
function wakesOf(hint: Hint | undefined): Map<string, number> {
  const wakes = new Map<string, number>()
  for (const { channel, at } of hint?.wake ?? []) {
    wakes.set(channel, Math.min(at, wakes.get(channel) ?? Infinity))
  }
  return wakes
}

function recordsOf(rows: readonly string[]): StoredRecord[] {
  const records: StoredRecord[] = []
  for (let i = 0; i < rows.length; i += 2)
    records.push(recordOf(rows[i] as string, rows[i + 1] as string))
  return records
}

function recordOf(key: string, packed: string): StoredRecord {
  const [version = '', place = '', score, tags = '', , stamp = '', head = ''] = packed.split('\0')
  return { key, version, place, score: Number(score), stamp, head, tags: unpackTags(tags) }
}

/** The named parts, whose values begin at `first`. */
function partsOf(names: readonly string[], values: Values, first: number): Record<string, string> {
  const parts: Record<string, string> = {}
  names.forEach((name, i) => {
    const value = values[first + i]
    if (value !== null && value !== undefined) parts[name] = value
  })
  return parts
}

function packTags(tags: Readonly<Record<string, number>>): string {
  return Object.entries(tags)
    .map(([tag, score]) => `${tag}\u0001${score}`)
    .join('\u0001')
}

function unpackTags(packed: string): Record<string, number> {
  if (packed === '') return {}
  const tags: Record<string, number> = {}
  const fields = packed.split('\u0001')
  for (let i = 0; i < fields.length; i += 2) tags[fields[i] as string] = Number(fields[i + 1])
  return tags
}
