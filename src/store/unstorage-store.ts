import { AT_HAND } from '../at-hand.ts'
import { type Clock, neverFalling, type Random } from '../clock.ts'
import { WherryError } from '../errors.ts'
import { systemClock, systemRandom } from '../system.ts'
import { assertCommit } from './commit-rules.ts'
import { NO_OPERATIONS } from './operations.ts'
import { RecordIndex } from './record-index.ts'
import { RecordSlots } from './record-slots.ts'
import { RecordWriter } from './record-writer.ts'
import { withParts } from './row.ts'
import { shareStore } from './shared-store.ts'
import { inParallel, StorageItems, type StorageLike } from './storage-items.ts'
import { StorageOwner } from './storage-owner.ts'
import type { Answer, Hint, Limits, Operations, Put, Query, Store, StoredRecord } from './store.ts'
import { VersionSource } from './version-source.ts'
import { WakeBoard } from './wake-board.ts'

export type { StorageLike } from './storage-items.ts'

export interface UnstorageStoreOptions {
  /** Begins the keys of all items: letters, digits, "_" and "-". Default `wherry`. */
  readonly base?: string | undefined
  /** The store's name, such as that of the driver. Default `unstorage`. */
  readonly name?: string | undefined
  readonly clock?: Pick<Clock, 'now' | 'monotonic'> | undefined
  readonly random?: Random | undefined
}

/** A storage that its store has opened, and closes. */
export interface OpenedStorage {
  readonly storage: StorageLike
  close(): Promise<void>
}

const LIMITS: Limits = {
  // Each record is an item of its own, and no driver writes two of them as one.
  unitPuts: 1,
  batchUnits: 500,
  keyBytes: 512,
  partBytes: 8 * 2 ** 20,
  unitBytes: 32 * 2 ** 20,
}

/**
 * Keeps records in any unstorage `Storage` or driver, for one process at a time: all heads are in
 * memory, read at the first use, and every change is in the storage before anyone sees it.
 * Guarantee: `process`. A second store on the same storage takes it over: the first notices that at
 * a commit, within a second or so, and stops.
 *
 * The storage stays open when the store closes: it belongs to whoever made it.
 *
 * @example
 * ```ts
 * const storage = createStorage({ driver: mongodb({ connectionString, databaseName: 'jobs' }) })
 * const jobs = new JobQueueService({ storage: createUnstorageStore(storage) })
 * ```
 */
export function createUnstorageStore(
  storage: StorageLike,
  options: UnstorageStoreOptions = {},
): Store {
  if (storage.setItem === undefined || storage.removeItem === undefined) {
    throw new WherryError(
      'input-invalid',
      'Cannot use this storage: it is read-only, expected setItem and removeItem',
    )
  }
  return openUnstorageStore(async () => ({ storage, close: async () => {} }), options)
}

/** The same on a storage that is opened at the first use, and closed with the store. */
export function openUnstorageStore(
  open: () => Promise<OpenedStorage>,
  options: UnstorageStoreOptions = {},
): Store {
  return new UnstorageStore(open, options)
}

/** What a store works with once its storage has been read. */
interface Working {
  readonly owner: StorageOwner
  readonly index: RecordIndex
  readonly slots: RecordSlots
  readonly writer: RecordWriter
}

class UnstorageStore implements Store {
  readonly name: string
  readonly guarantee = 'process'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #open: () => Promise<OpenedStorage>
  readonly #base: string
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #random: Random
  readonly #now: () => number
  readonly #versions: VersionSource
  readonly #wakes = new WakeBoard()
  #opened: OpenedStorage | null = null
  #items: StorageItems | null = null
  #working: Working | null = null
  #starting: Promise<Working> | null = null
  #closing: Promise<void> | null = null

  constructor(open: () => Promise<OpenedStorage>, options: UnstorageStoreOptions) {
    const { base = 'wherry', name = 'unstorage' } = options
    const { clock = systemClock, random = systemRandom } = options
    if (!/^[A-Za-z0-9_-]+$/.test(base)) {
      throw new WherryError(
        'input-invalid',
        `Cannot use this storage: base is "${base}", expected letters, digits, "_" and "-"`,
      )
    }
    this.name = name
    this.#open = open
    this.#base = base
    this.#clock = clock
    this.#random = random
    this.#now = neverFalling(clock)
    this.#versions = new VersionSource(random)
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    const working = await this.#work()
    const { index } = working
    // All but the parts is read in one moment; a record whose parts change meanwhile is read again.
    return {
      now: this.#now(),
      ranges: ranges.map((range) => index.range(range).map((row) => withParts(row, []))),
      counts: counts.map((place) => index.count(place)),
      got: await inParallel(get, (key) => record(working, key, parts)),
    }
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const { writer } = await this.#work()
    const outcomes = await Promise.allSettled(units.map((unit) => writer.commit(unit)))
    if (outcomes.some((one) => one.status === 'rejected' || one.value)) this.#wakes.publish(hint)
    return outcomes.map((one) => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    })
  }

  subscribe(channel: string, hear: (at: number) => void): () => void {
    return this.#wakes.subscribe(channel, hear)
  }

  operations(): Operations {
    return this.#items?.operations ?? NO_OPERATIONS
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // Whoever waits for the start hears of its failure.
    await this.#starting?.catch(() => {})
    await this.#working?.writer.close()
    await this.#opened?.close()
  }

  async #work(): Promise<Working> {
    if (this.#closing !== null) {
      throw new WherryError(
        'store-unavailable',
        `Cannot use the store "${this.name}": it is closed, expected an open one`,
      )
    }
    this.#working?.owner.assertNotLost()
    if (this.#working !== null) return this.#working
    this.#starting ??= this.#start()
    return this.#starting
  }

  async #start(): Promise<Working> {
    try {
      this.#opened ??= await this.#open()
      this.#items ??= new StorageItems(this.#opened.storage, this.#base)
      const owner = new StorageOwner(this.#items, this.#clock, this.#random)
      await owner.take()
      const index = new RecordIndex()
      const slots = new RecordSlots(this.#items, this.#versions, this.#now)
      for (const row of await slots.load()) index.set(row.key, row)
      const writer = new RecordWriter(index, slots, owner, this.#versions)
      this.#working = { owner, index, slots, writer }
      return this.#working
    } finally {
      this.#starting = null
    }
  }
}

/** The record with the named parts. */
async function record(
  { index, slots }: Working,
  key: string,
  names: readonly string[],
): Promise<StoredRecord | null> {
  for (;;) {
    const row = index.get(key)
    if (row === null) return null
    const { parts: items } = withParts(row, names)
    const parts = await partsOf(slots, items ?? {})
    if (parts !== null) return { ...row, parts }
    // Items go when a newer head has taken the place of theirs; then the newer one is read.
    if (index.get(key) === row) {
      throw new WherryError(
        'record-corrupt',
        `Cannot read the parts of "${key}": an item is gone or damaged, expected a storage that keeps its items`,
      )
    }
  }
}

/** The texts of the parts; null when an item is gone. */
async function partsOf(
  slots: RecordSlots,
  items: Readonly<Record<string, string>>,
): Promise<Record<string, string> | null> {
  const entries = Object.entries(items)
  const texts = await inParallel(entries, ([, item]) => slots.part(item))
  if (texts.includes(null)) return null
  return Object.fromEntries(entries.map(([name], i) => [name, texts[i] as string]))
}

AT_HAND.unstorageStore = (storage) => shareStore(storage, createUnstorageStore)
