import { randomToken } from '../../../src/clock.ts'
import type { DrainOptions, DrainReport } from '../../../src/main.ts'
import { assertCommit } from '../../../src/store/commit-rules.ts'
import type {
  Answer,
  Hint,
  Limits,
  Operations,
  Put,
  Query,
  StoredRecord,
} from '../../../src/store/store.ts'
import { systemRandom } from '../../../src/system.ts'
import type { ObjectStore } from './object-store.ts'

/** What is needed of a KV binding. */
export interface PartsBinding {
  get(name: string): Promise<string | null>
  put(name: string, value: string): Promise<void>
  delete(name: string): Promise<void>
}

/** Longer parts go to KV; a record holds their names. */
const LONG_CHARS = 100_000
/** What every part in a record begins with: the name in KV follows, or the part itself. */
const ELSEWHERE = '@'
const HERE = '='
/** All parts that the queue uses: what a record that is dropped may have elsewhere. */
const PARTS = ['data', 'result', 'error']

/**
 * A store whose long parts lie in Workers KV, under names that are used once: so a read that is stale
 * finds the part or nothing, never another. The record is written after the part and says where it
 * is. A part whose record was not written, or is gone, is deleted; after a commit of unknown fate it
 * stays.
 */
export class KVParts implements ObjectStore {
  readonly name = 'durable-object+kv'
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits
  readonly #store: ObjectStore
  readonly #kv: PartsBinding
  readonly #prefix: string

  constructor(store: ObjectStore, kv: PartsBinding, base: string) {
    this.#store = store
    this.#kv = kv
    this.#prefix = `${base}/part`
    this.limits = { ...store.limits, partBytes: 24 * 2 ** 20, unitBytes: 72 * 2 ** 20 }
  }

  async read(query: Query): Promise<Answer> {
    const answer = await this.#store.read(query)
    const got = answer.got.map((record) => record && this.#whole(record))
    return { ...answer, got: await Promise.all(got) }
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const names = await this.#namesBefore(units)
    const sent = await Promise.all(
      units.map((unit) => Promise.all(unit.map((put) => this.#sent(put)))),
    )
    const versions = await this.#store.commit(sent, hint)
    const gone = units.flatMap((unit, i) =>
      versions[i] === null
        ? (sent[i] ?? []).flatMap(({ parts = {} }) => Object.values(parts).flatMap(elsewhere))
        : unit.flatMap((put) => goneBy(put, names.get(put.key))),
    )
    await Promise.all(gone.map((name) => this.#kv.delete(name).catch(() => {})))
    return versions
  }

  drain(options: DrainOptions): Promise<DrainReport | null> {
    return this.#store.drain(options)
  }

  operations(): Operations {
    return this.#store.operations()
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  /** The put as the record has it: with the names of its long parts. */
  async #sent(put: Put): Promise<Put> {
    if (put.parts === undefined) return put
    const parts = await Promise.all(
      Object.entries(put.parts).map(async ([name, text]) => {
        if (text === null) return [name, null] as const
        if (text.length < LONG_CHARS) return [name, HERE + text] as const
        const place = `${this.#prefix}/${randomToken(systemRandom, 24)}`
        await this.#kv.put(place, text)
        return [name, ELSEWHERE + place] as const
      }),
    )
    return { ...put, parts: Object.fromEntries(parts) }
  }

  async #whole(record: StoredRecord): Promise<StoredRecord> {
    const parts: Record<string, string> = {}
    for (const [name, text] of Object.entries(record.parts ?? {})) {
      parts[name] = text.startsWith(ELSEWHERE)
        ? await this.#fetched(record, text.slice(1))
        : text.slice(1)
    }
    return { ...record, parts }
  }

  async #fetched({ key }: StoredRecord, place: string): Promise<string> {
    const text = await this.#kv.get(place)
    if (text !== null) return text
    throw new Error(`Cannot read "${key}": KV does not show a part of it yet`)
  }

  /** Where the parts are that this commit may do away with. */
  async #namesBefore(units: readonly (readonly Put[])[]): Promise<Map<string, StoredRecord>> {
    const keys = units
      .flat()
      .flatMap(({ key, expect, drop, parts }) => (expect !== null && (drop || parts) ? [key] : []))
    if (keys.length === 0) return new Map()
    const { got } = await this.#store.read({ get: keys, parts: PARTS })
    return new Map(got.flatMap((record) => (record ? [[record.key, record]] : [])))
  }
}

function goneBy({ drop, parts = {} }: Put, before: StoredRecord | undefined): string[] {
  return Object.entries(before?.parts ?? {}).flatMap(([name, text]) =>
    drop || name in parts ? elsewhere(text) : [],
  )
}

/** The name in KV of a part that lies there. */
function elsewhere(text: string | null): string[] {
  return text?.startsWith(ELSEWHERE) ? [text.slice(1)] : []
}
