import { messageOf, WherryError } from '../errors.ts'
import { NO_OPERATIONS } from './operations.ts'
import type { Operations } from './store.ts'

/** What a store needs of unstorage: a `Storage` of 1.x or 2.x fits, and so does a bare driver. */
export interface StorageLike {
  getItem(key: string, options: object): unknown
  setItem?(key: string, value: string, options: object): unknown
  removeItem?(key: string, options: object): unknown
  getKeys(base: string, options: object): PromiseLike<string[]> | string[]
}

/** What lies under a name: a value, nothing, or what a write left that was cut off. */
export type Item = { readonly json: string } | 'absent' | 'torn'

/** Items in flight at once: each is an open file or a request. */
const PARALLEL_MAX = 64

/**
 * Named JSON values in a storage, each with a checksum: a driver's `setItem` need not be atomic, and
 * a process that dies in it leaves half a value behind.
 *
 * Names are lower-case letters, digits, ".", "-" and ":", so that no driver and no file system
 * folds two of them together. The text of an item starts with a letter that makes `destr`, through
 * which unstorage sends everything it reads, leave it as it is.
 */
export class StorageItems {
  readonly #storage: StorageLike
  readonly #prefix: string
  #operations = NO_OPERATIONS

  constructor(storage: StorageLike, base: string) {
    this.#storage = storage
    this.#prefix = `${base}:`
  }

  get operations(): Operations {
    return this.#operations
  }

  /** The names of all items, each once, in no order. */
  async names(): Promise<string[]> {
    this.#count('lists')
    const listed = await this.#storage.getKeys(this.#prefix, {})
    // A bare driver lists the whole storage, with the separators of its file system.
    const keys = listed.map((key) => key.replaceAll(/[/\\]/g, ':').replace(/^:/, ''))
    const own = keys.filter((key) => key.startsWith(this.#prefix))
    return [...new Set(own.map((key) => key.slice(this.#prefix.length)))]
  }

  async read(name: string): Promise<Item> {
    this.#count('reads')
    const value = await this.#storage.getItem(this.#prefix + name, {})
    if (value === null || value === undefined) return 'absent'
    if (typeof value === 'string') return unseal(name, value)
    // The drivers for files do not throw what they cannot read: they return the error.
    throw new WherryError(
      'store-unavailable',
      `Cannot read the item "${name}": ${value instanceof Error ? messageOf(value) : `it came back as ${typeof value}, expected text`}`,
      { cause: value },
    )
  }

  async write(name: string, json: string): Promise<void> {
    this.#count('writes')
    await this.#storage.setItem?.(this.#prefix + name, seal(json), {})
  }

  /** Deletes items that must not come back, and makes sure of it: some drivers keep a failure quiet. */
  async remove(names: readonly string[]): Promise<void> {
    await inParallel(names, async (name) => {
      this.#count('deletes')
      await this.#storage.removeItem?.(this.#prefix + name, {})
      if ((await this.read(name)) === 'absent') return
      throw new WherryError(
        'store-unavailable',
        `Cannot remove the item "${name}": it is still there, expected a storage that deletes`,
      )
    })
  }

  /** Deletes items that nobody looks at any more; what stays is found and deleted at the next start. */
  async discard(names: readonly string[]): Promise<void> {
    await inParallel(names, async (name) => {
      this.#count('deletes')
      try {
        await this.#storage.removeItem?.(this.#prefix + name, {})
      } catch {
        // It only takes up room.
      }
    })
  }

  #count(kind: keyof Operations): void {
    this.#operations = { ...this.#operations, [kind]: this.#operations[kind] + 1 }
  }
}

/** Acts on every item, a bounded number at a time. Throws the first error once all have stopped. */
export async function inParallel<T, R>(
  items: readonly T[],
  act: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++
      results[i] = await act(items[i] as T)
    }
  }
  const lanes = Array.from({ length: Math.min(PARALLEL_MAX, items.length) }, async () => {
    try {
      await lane()
    } catch (error) {
      next = items.length
      throw error
    }
  })
  for (const outcome of await Promise.allSettled(lanes)) {
    if (outcome.status === 'rejected') throw outcome.reason
  }
  return results
}

/** The form of items; an unknown one is refused, not taken for a torn write. */
const FORM = 1
const FORMED = /^w(\d+):/
const SEALED = /^w1:([0-9a-z]+):([0-9a-z]+):/

function seal(json: string): string {
  return `w${FORM}:${json.length.toString(36)}:${checksum(json)}:${json}`
}

function unseal(name: string, text: string): Item {
  const form = Number(FORMED.exec(text)?.[1] ?? FORM)
  if (form !== FORM) {
    throw new WherryError(
      'record-corrupt',
      `Cannot read the item "${name}": its form is ${form}, this version of wherry reads ${FORM}`,
    )
  }
  const [seal, length, sum] = SEALED.exec(text) ?? []
  if (seal === undefined) return 'torn'
  const json = text.slice(seal.length)
  return json.length.toString(36) === length && checksum(json) === sum ? { json } : 'torn'
}

/** FNV-1a over UTF-16 units. The length shows a cut; this shows blocks that never reached the disk. */
function checksum(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(36)
}
