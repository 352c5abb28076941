/**
 * The texts of parts, apart from their records: in chunks under an id that is used once, so that what
 * is under it never changes. A record names its texts by a reference, `<id> <chunks>`.
 *
 * A text that is too long to be written along with its record is written ahead of it, under a list
 * that the commit of the record takes away. A list that stays behind names what to delete.
 */
import type { Access } from './access.ts'
import { AtomicWrite, VALUE_BYTES } from './atomic-write.ts'
import type { DenoKvKey } from './database.ts'
import type { Layout, OwnEntry } from './layout.ts'

export interface Text {
  readonly id: string
  readonly bytes: Uint8Array
}

/** What a list names, and since when. */
interface Orphans {
  readonly references: readonly string[]
  readonly at: number
}

/** Chunks that one operation can write, and delete. */
const WRITTEN_AT_ONCE = 12
const DELETED_AT_ONCE = 500
/** Whoever wrote a list so long ago, in ms, will not come back to it. */
const ABANDONED_MS = 3_600_000
const LISTS_MAX = 100

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function chunksIn(bytes: Uint8Array): number {
  return Math.ceil(bytes.length / VALUE_BYTES)
}

export function referenceTo({ id, bytes }: Text): string {
  return `${id} ${chunksIn(bytes)}`
}

/** The entries that hold the text. */
export function chunkKeys(layout: Layout, reference: string): DenoKvKey[] {
  const [id = '', count] = reference.split(' ')
  return Array.from({ length: Number(count) }, (_, number) => layout.chunk(id, number))
}

/** The text in these entries; undefined when one of them is gone. */
function textIn(entries: readonly OwnEntry[]): string | undefined {
  if (entries.some(({ value }) => value === null)) return undefined
  const chunks = entries.map(({ value }) => value as Uint8Array)
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return decoder.decode(bytes)
}

/** The text in chunks, each with its key. */
export function chunksOf(layout: Layout, text: Text): [key: DenoKvKey, chunk: Uint8Array][] {
  return chunkKeys(layout, referenceTo(text)).map((key, number) => {
    const from = number * VALUE_BYTES
    return [key, text.bytes.subarray(from, from + VALUE_BYTES)]
  })
}

export function packOrphans(orphans: Orphans): Uint8Array {
  return encoder.encode(JSON.stringify(orphans))
}

function orphansIn({ value }: OwnEntry): Orphans {
  return JSON.parse(decoder.decode(value as Uint8Array)) as Orphans
}

export class Texts {
  readonly #access: Access
  readonly #layout: Layout
  readonly #now: () => number
  #swept: Promise<void> | null = null

  constructor(access: Access, layout: Layout, now: () => number) {
    this.#access = access
    this.#layout = layout
    this.#now = now
  }

  /** By reference; without those that are gone. */
  async read(references: readonly string[]): Promise<Map<string, string>> {
    const keys = references.map((reference) => chunkKeys(this.#layout, reference))
    const entries = await this.#access.getMany(keys.flat())
    const texts = new Map<string, string>()
    references.forEach((reference, i) => {
      const text = textIn(entries.splice(0, keys[i]?.length))
      if (text !== undefined) texts.set(reference, text)
    })
    return texts
  }

  /**
   * Writes texts ahead of the unit. Answers the versionstamp that their list has until it is swept.
   *
   * @throws TypeError when they are more than one list can name.
   */
  async writeAhead(unit: string, texts: readonly Text[]): Promise<string | null> {
    // Who writes long texts looks, once, for what others have left of theirs.
    this.#swept ??= this.#sweep().catch(() => {})
    await this.#swept
    const key = this.#layout.orphans(unit)
    const list = new AtomicWrite()
    list.set(key, packOrphans({ references: texts.map(referenceTo), at: this.#now() }))
    list.assertFits(this.#access.checksMax)
    const versionstamp = await this.#access.commit(list)
    const chunks = texts.flatMap((text) => chunksOf(this.#layout, text))
    for (let i = 0; i < chunks.length; i += WRITTEN_AT_ONCE) {
      const write = new AtomicWrite()
      write.check(key, versionstamp)
      for (const chunk of chunks.slice(i, i + WRITTEN_AT_ONCE)) write.set(...chunk)
      if ((await this.#access.commit(write)) === null) throw swept()
    }
    return versionstamp
  }

  /** @throws Error when what was written ahead of the unit has been swept. */
  async assertThere(unit: string, versionstamp: string | null): Promise<void> {
    const [list] = await this.#access.getMany([this.#layout.orphans(unit)])
    if (list?.versionstamp !== versionstamp) throw swept()
  }

  /** Deletes what the unit's list names. What cannot be deleted now is left to a sweep. */
  async discard(unit: string): Promise<void> {
    try {
      const [list] = await this.#access.getMany([this.#layout.orphans(unit)])
      if (list?.value) await this.#delete(list)
    } catch {
      // It only takes up room.
    }
  }

  async #sweep(): Promise<void> {
    const options = { limit: LISTS_MAX, reverse: false }
    for (const list of await this.#access.list(this.#layout.allOrphans(), options)) {
      const { references, at } = orphansIn(list)
      if (at > this.#now() - ABANDONED_MS) continue
      // Whoever wrote it and was only slow is refused from here on.
      const claim = new AtomicWrite()
      claim.check(list.key, list.versionstamp)
      claim.set(list.key, packOrphans({ references, at: this.#now() }))
      if ((await this.#access.commit(claim)) !== null) await this.#delete(list)
    }
  }

  /** The list goes last: until then it names what is left. */
  async #delete(list: OwnEntry): Promise<void> {
    const { references } = orphansIn(list)
    const keys = references.flatMap((reference) => chunkKeys(this.#layout, reference))
    for (let i = 0; i < keys.length; i += DELETED_AT_ONCE) {
      const write = new AtomicWrite()
      for (const key of keys.slice(i, i + DELETED_AT_ONCE)) write.delete(key)
      await this.#access.commit(write)
    }
    const write = new AtomicWrite()
    write.delete(list.key)
    await this.#access.commit(write)
  }
}

function swept(): Error {
  return new Error('The texts of a commit were deleted before it came to its end')
}
