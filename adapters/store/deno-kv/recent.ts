import type { Found } from './layout.ts'

/** Records that are kept in memory: as many as a few claims look at. */
const RECENT_MAX = 2_000

/**
 * Records that were read or written lately. What a version of a record is never changes, so a commit
 * that builds on one of these need not read it again; whether it still is so, the operation checks.
 */
export class Recent {
  readonly #found = new Map<string, Found>()

  get(key: string): Found | undefined {
    return this.#found.get(key)
  }

  add(found: Found): void {
    const { key } = found.row
    this.#found.delete(key)
    this.#found.set(key, found)
    if (this.#found.size <= RECENT_MAX) return
    const [oldest = ''] = this.#found.keys()
    this.#found.delete(oldest)
  }
}
