/** A place in an ordered list. */
export interface Entry {
  readonly score: number
  readonly key: string
}

export function compareEntries(a: Entry, b: Entry): number {
  if (a.score !== b.score) return a.score < b.score ? -1 : 1
  return a.key === b.key ? 0 : a.key < b.key ? -1 : 1
}

/** Chunks of this size keep an insertion at one short `splice`, and the outer list short as well. */
const CHUNK_MAX = 512

/**
 * Entries in the order of (score, key). Adding, deleting and finding cost a binary search and a
 * move within one chunk, so they stay flat to millions of entries.
 */
export class SortedList<T extends Entry> {
  #chunks: T[][] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  add(entry: T): void {
    const at = Math.min(this.#chunkAt(entry), this.#chunks.length - 1)
    const chunk = this.#chunks[at]
    this.#size++
    if (chunk === undefined) {
      this.#chunks.push([entry])
      return
    }
    chunk.splice(lowerBound(chunk, entry), 0, entry)
    if (chunk.length > CHUNK_MAX) {
      this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_MAX / 2))
    }
  }

  delete(entry: Entry): boolean {
    const at = this.#chunkAt(entry)
    const chunk = this.#chunks[at]
    if (chunk === undefined) return false
    const index = lowerBound(chunk, entry)
    const found = chunk[index]
    if (found === undefined || compareEntries(found, entry) !== 0) return false
    chunk.splice(index, 1)
    if (chunk.length === 0) this.#chunks.splice(at, 1)
    this.#size--
    return true
  }

  /** Yields the entries from the first that is not below `start`, upwards. */
  *ascending(start: Entry): Generator<T> {
    let at = this.#chunkAt(start)
    let index = lowerBound(this.#chunks[at] ?? [], start)
    for (; at < this.#chunks.length; at++, index = 0) {
      const chunk = this.#chunks[at] as T[]
      for (; index < chunk.length; index++) yield chunk[index] as T
    }
  }

  /** Yields the entries from the last that is not above `start`, downwards. */
  *descending(start: Entry): Generator<T> {
    let at = Math.min(this.#chunkAt(start), this.#chunks.length - 1)
    let chunk = this.#chunks[at] ?? []
    let index = lowerBound(chunk, start)
    const exact = chunk[index]
    if (exact === undefined || compareEntries(exact, start) > 0) index--
    for (;;) {
      for (; index >= 0; index--) yield chunk[index] as T
      if (at-- <= 0) return
      chunk = this.#chunks[at] as T[]
      index = chunk.length - 1
    }
  }

  /** The first chunk whose last entry is not below `entry`; past the end when there is none. */
  #chunkAt(entry: Entry): number {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const chunk = this.#chunks[middle] as T[]
      if (compareEntries(chunk[chunk.length - 1] as T, entry) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

function lowerBound(chunk: readonly Entry[], entry: Entry): number {
  let low = 0
  let high = chunk.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareEntries(chunk[middle] as Entry, entry) < 0) low = middle + 1
    else high = middle
  }
  return low
}
