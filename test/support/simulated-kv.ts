import type { KVBinding } from '../../adapters/store/cloudflare-kv.ts'
import type { Random } from '../../src/clock.ts'
import { byteLength } from '../../src/store/commit-rules.ts'

/** One write of a name; `value` null: a delete. */
interface Write {
  readonly at: number
  readonly by: string
  readonly value: string | null
  readonly metadata: unknown
  readonly expiresAt: number
  /** When each location sees it, in a read and in a list. */
  readonly readableAt: Map<string, number>
  readonly listableAt: Map<string, number>
}

interface NewWrite extends Pick<Write, 'value' | 'metadata' | 'expiresAt'> {
  readonly name: string
  readonly location: string
  readonly writer: string
}

export interface SimulatedKVOptions {
  readonly now: () => number
  readonly random: Random
  /** The longest that a location may stay blind to a write, in ms. */
  readonly lagMs: number
}

/**
 * Workers KV as its documentation describes it, which no local KV does: reads, misses and lists that
 * lag by up to a minute, for each location by another time and for lists by another than for reads,
 * not even one's own writes excepted; one write a second to a name; pages of 1,000.
 */
export class SimulatedKV {
  readonly #options: SimulatedKVOptions
  readonly #names = new Map<string, Write[]>()
  /** Writes that came within a second of the last to the same name, from the same writer. */
  tooFast = 0
  /** The same, from another writer: a rival that was refused. */
  rivals = 0

  constructor(options: SimulatedKVOptions) {
    this.#options = options
  }

  /** The namespace as a Worker at that location sees it; `writer`: which one, if there are several. */
  at(location: string, writer: string = location): KVBinding {
    return {
      getWithMetadata: async (names) => {
        if (names.length > 100) throw new Error('400: at most 100 names')
        const seen = names.map((name) => [name, this.#seen(name, location, 'readableAt')] as const)
        return new Map(
          seen.map(([name, write]) => [
            name,
            write && { value: write.value, metadata: write.metadata },
          ]),
        )
      },
      put: async (name, value, { metadata, expirationTtl }) => {
        if (byteLength(name) > 512) throw new Error('414: the name is too long')
        if (byteLength(JSON.stringify(metadata)) > 1024)
          throw new Error('413: the metadata is too long')
        if (byteLength(value) > 25 * 2 ** 20) throw new Error('413: the value is too long')
        if (expirationTtl !== undefined && expirationTtl < 60)
          throw new Error('400: expirationTtl is below 60')
        const expiresAt =
          expirationTtl === undefined ? Infinity : this.#options.now() + expirationTtl * 1_000
        this.#write({
          name,
          value,
          metadata: structuredClone(metadata),
          expiresAt,
          location,
          writer,
        })
      },
      delete: async (name) =>
        this.#write({ name, value: null, metadata: null, expiresAt: Infinity, location, writer }),
      list: async ({ prefix, limit, cursor }) =>
        this.#list(prefix, limit, cursor ?? undefined, location),
    }
  }

  /** The last write of a name, for whoever looks from outside; null: it holds nothing. */
  peek(name: string): { readonly at: number } | null {
    const last = this.#names.get(name)?.at(-1)
    return last === undefined || last.value === null ? null : last
  }

  /** The names that hold something, for whoever looks from outside. */
  truth(prefix: string): string[] {
    return [...this.#names]
      .filter(([name, writes]) => name.startsWith(prefix) && writes.at(-1)?.value !== null)
      .map(([name]) => name)
  }

  #write({ name, location, writer, ...what }: NewWrite): void {
    const at = this.#options.now()
    const writes = this.#names.get(name) ?? []
    const last = writes.at(-1)
    if (last !== undefined && at - last.at < 1_000) {
      if (last.by === writer) this.tooFast++
      else this.rivals++
      throw new Error('429: one write a second to a name')
    }
    const write: Write = {
      ...what,
      at,
      by: writer,
      readableAt: new Map(),
      listableAt: new Map(),
    }
    // A write is mostly seen at once where it was made.
    if (this.#options.random() < 0.9) write.readableAt.set(location, at)
    writes.push(write)
    this.#names.set(name, writes.slice(-8))
  }

  /** The newest write that the location sees by now. */
  #seen(name: string, location: string, view: 'readableAt' | 'listableAt'): Write | null {
    const { now, random, lagMs } = this.#options
    const writes = this.#names.get(name) ?? []
    for (const write of writes.toReversed()) {
      let from = write[view].get(location)
      if (from === undefined) {
        from = write.at + (random() < 0.5 ? 0 : Math.floor(random() * lagMs))
        write[view].set(location, from)
      }
      if (from > now()) continue
      return write.value !== null && write.expiresAt > now() ? write : null
    }
    return null
  }

  async #list(
    prefix: string,
    limit: number,
    cursor: string | undefined,
    location: string,
  ): ReturnType<KVBinding['list']> {
    const names = [...this.#names.keys()]
      .filter((name) => name.startsWith(prefix) && (cursor === undefined || name > cursor))
      .sort()
    const keys: { name: string; metadata?: unknown }[] = []
    for (const name of names) {
      if (keys.length === limit)
        return { keys, list_complete: false, cursor: keys.at(-1)?.name ?? '' }
      const write = this.#seen(name, location, 'listableAt')
      if (write !== null) keys.push({ name, metadata: write.metadata })
    }
    return { keys, list_complete: true }
  }
}
