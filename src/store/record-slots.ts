import type { RecordIndex } from './record-index.ts'
import type { Row } from './row.ts'
import { type Item, inParallel, type StorageItems } from './storage-items.ts'
import type { Put } from './store.ts'
import type { VersionSource } from './version-source.ts'

/** One record's way from one state to the next. Rows have names of items as their parts. */
export interface Change {
  readonly key: string
  /** What the record is; null: it does not exist. */
  readonly before: Row | null
  /** What it will be; null: it is dropped. */
  readonly after: Row | null
  /** Higher than that of every change before it. */
  readonly sequence: number
  /** The item that the head is written to. */
  readonly slot: string
  /** Items of the parts that are new. */
  readonly parts: readonly string[]
}

/** What a put asks of the storage. Its texts are not kept longer than its write takes. */
export interface Plan {
  readonly change: Change
  /** The texts of the new parts, by their items. */
  readonly texts: ReadonlyMap<string, string>
}

/** The items that a record's head lies in. */
interface Slots {
  /** The newest head. */
  readonly current: string
  /** The head before it, to be written over by the next. */
  readonly spare: string | null
}

/** A head as it is stored; without a version it is a tombstone. */
interface Stored {
  /** sequence */
  n: number
  /** key */
  k: string
  v?: string
  p?: string
  s?: number
  t?: string
  h?: string
  g?: Readonly<Record<string, number>>
  /** the item of each part */
  i?: Readonly<Record<string, string>>
}

interface Found {
  readonly slot: string
  readonly stored: Stored
}

const HEAD = 'h:'
const PART = 'p:'

/**
 * Keeps the heads and parts of records as items, so that a crash between any two calls of the
 * storage, and within one, leaves each record as it was before a change or as it is after it.
 *
 * A head lies in two items that are written in turn: the valid one of the highest sequence counts.
 * Parts have items of their own, which are written once, before the head that names them. A dropped
 * record gets a tombstone as its newest head; that goes only when all older heads are gone. Names
 * are made of tokens and not of keys, so a key may be as long and as odd as it likes.
 */
export class RecordSlots {
  readonly #items: StorageItems
  readonly #tokens: VersionSource
  readonly #now: () => number
  readonly #slots = new Map<string, Slots>()
  /** Records of which a write failed: an older head of theirs may appear at any time. */
  readonly #doubted = new Set<string>()
  #sequence = 0
  /** Items that nobody needs any more. */
  #loose: string[] = []
  /** What is left of dropped records: the last head, if there is one, and the tombstone above it. */
  #dropped: { readonly head: string | undefined; readonly tombstone: string }[] = []

  constructor(items: StorageItems, tokens: VersionSource, now: () => number) {
    this.#items = items
    this.#tokens = tokens
    this.#now = now
  }

  /** Reads all heads, and deletes what earlier processes left behind. */
  async load(): Promise<Row[]> {
    const names = await this.#items.names()
    const slots = names.filter((name) => name.startsWith(HEAD))
    const items = await inParallel(slots, (slot) => this.#items.read(slot))
    const found = slots.flatMap((slot, i) => {
      const stored = storedIn(items[i] as Item)
      return stored === null ? [] : [{ slot, stored }]
    })
    const rows = await this.#settle(Map.groupBy(found, ({ stored }) => stored.k).values())
    const used = new Set(rows.flatMap(({ parts }) => Object.values(parts)))
    const orphans = names.filter((name) => name.startsWith(PART) && !used.has(name))
    const torn = slots.filter((_, i) => items[i] === 'torn')
    await this.#items.discard([...orphans, ...torn])
    return rows
  }

  /** Plans a put on the records of the index. */
  plan(put: Put, version: string, index: RecordIndex): Plan {
    const { key } = put
    const items: Record<string, string | null> = {}
    const texts = new Map<string, string>()
    for (const [name, text] of Object.entries(put.parts ?? {})) {
      const item = text === null ? null : PART + this.#tokens.next()
      items[name] = item
      if (item !== null && text !== null) texts.set(item, text)
    }
    const after = index.next(put.parts === undefined ? put : { ...put, parts: items }, version)
    const slot = this.#slots.get(key)?.spare ?? this.#newSlot()
    const sequence = this.#nextSequence()
    const change = { key, before: index.get(key), after, sequence, slot, parts: [...texts.keys()] }
    return { change, texts }
  }

  /** Makes the change durable. When it fails, nobody knows whether it did. */
  async write({ change, texts }: Plan): Promise<void> {
    await inParallel([...texts], ([item, text]) => this.#items.write(item, JSON.stringify(text)))
    const { key, after, sequence, slot } = change
    await this.#items.write(slot, JSON.stringify(storedOf(key, after, sequence)))
  }

  async isDurable({ slot, sequence }: Change): Promise<boolean> {
    return storedIn(await this.#items.read(slot))?.n === sequence
  }

  /** Goes on from a change that is durable. */
  keep({ key, before, after, slot }: Change): void {
    const current = this.#slots.get(key)?.current
    for (const [name, item] of Object.entries(before?.parts ?? {})) {
      if (after?.parts[name] !== item) this.#loose.push(item)
    }
    if (after !== null) {
      this.#slots.set(key, { current: slot, spare: current ?? null })
      return
    }
    this.#slots.delete(key)
    // Of a doubted record the tombstone stays until the next start.
    if (!this.#doubted.has(key)) this.#dropped.push({ head: current, tombstone: slot })
  }

  /**
   * Writes the head from before a failed change again, above all that the change may still leave:
   * a write that was given up by the driver may reach the storage later.
   */
  async undo({ key, before, parts }: Change): Promise<void> {
    const slot = this.#newSlot()
    this.#doubted.add(key)
    await this.#items.write(slot, JSON.stringify(storedOf(key, before, this.#nextSequence())))
    this.#loose.push(...parts)
    const current = this.#slots.get(key)?.current
    if (before !== null) this.#slots.set(key, { current: slot, spare: current ?? null })
  }

  /** The text of a part; null when its item is gone. */
  async part(item: string): Promise<string | null> {
    const found = await this.#items.read(item)
    return typeof found === 'object' ? (JSON.parse(found.json) as string) : null
  }

  /** Deletes what the changes until now have left behind. */
  async clean(): Promise<void> {
    const [loose, dropped] = [this.#loose, this.#dropped]
    this.#loose = []
    this.#dropped = []
    await this.#items.discard(loose)
    await inParallel(dropped, async ({ head, tombstone }) => {
      try {
        if (head !== undefined) await this.#items.remove([head])
      } catch {
        // The tombstone stays until the next start, which deletes both in the same order.
        return
      }
      await this.#items.discard([tombstone])
    })
  }

  /** Finds the newest head of each record, and deletes older ones so that none can come back. */
  async #settle(records: Iterable<readonly Found[]>): Promise<Row[]> {
    const rows: Row[] = []
    const left: Found[] = []
    for (const found of records) {
      const [newest, ...older] = newestFirst(found)
      this.#sequence = Math.max(this.#sequence, newest.stored.n)
      const row = rowOf(newest.stored)
      if (row === null) {
        left.push(newest, ...older)
        continue
      }
      const spare = older.shift()
      this.#slots.set(row.key, { current: newest.slot, spare: spare?.slot ?? null })
      rows.push(row)
      left.push(...older)
    }
    await this.#items.remove(slotsOf(left.filter(isHead)))
    await this.#items.remove(slotsOf(left.filter((one) => !isHead(one))))
    return rows
  }

  #newSlot(): string {
    return HEAD + this.#tokens.next()
  }

  /** Above all that was found, and above what a process before may have had under way when it died. */
  #nextSequence(): number {
    this.#sequence = Math.max(this.#sequence + 1, this.#now())
    return this.#sequence
  }
}

function newestFirst(found: readonly Found[]): [Found, ...Found[]] {
  return found.toSorted((a, b) => b.stored.n - a.stored.n) as [Found, ...Found[]]
}

function slotsOf(found: readonly Found[]): string[] {
  return found.map(({ slot }) => slot)
}

function isHead({ stored }: Found): boolean {
  return stored.v !== undefined
}

function storedOf(key: string, row: Row | null, sequence: number): Stored {
  if (row === null) return { n: sequence, k: key }
  const { version, place, score, stamp, head, tags = {}, parts } = row
  return {
    n: sequence,
    k: key,
    v: version,
    p: place,
    s: score,
    t: stamp,
    h: head,
    g: tags,
    i: parts,
  }
}

function rowOf({ k, v, p = '', s = 0, t = '', h = '', g = {}, i = {} }: Stored): Row | null {
  if (v === undefined) return null
  return { key: k, version: v, place: p, score: s, stamp: t, head: h, tags: g, parts: i }
}

function storedIn(item: Item): Stored | null {
  return typeof item === 'object' ? (JSON.parse(item.json) as Stored) : null
}
